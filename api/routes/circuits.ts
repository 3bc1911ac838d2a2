import type { Hono } from 'hono';
import { type Static, Type } from 'typebox';
import { demand } from '../access.ts';
import type { AppDependencies } from '../dependencies.ts';
import { isoOrNull, NullableTime, OneOf, PageOf } from '../resources/shared.ts';
import { addRoute } from '../route.ts';

const Circuit = Type.Object(
  {
    host: Type.String({ description: 'Name and port, as in a URL.' }),
    state: OneOf(
      ['Closed', 'Open', 'HalfOpen'],
      'Open: nothing is sent. HalfOpen: one request is tried. Closed: all are sent, though the last one failed.',
    ),
    failures: Type.Integer({ description: 'Failed requests in a row.' }),
    openUntil: NullableTime('Until when nothing is sent.'),
  },
  { ref: 'Circuit' },
);
export type Circuit = Static<typeof Circuit>;

/** Target hosts of `http` steps that do not answer. */
export function circuitRoutes(app: Hono, deps: AppDependencies): void {
  addRoute(
    app,
    {
      method: 'GET',
      path: '/circuits',
      id: 'listCircuits',
      tag: 'server',
      summary: 'Lists the hosts of http steps whose last request failed, as this replica knows them',
      response: { status: 200, description: 'All of them.', schema: PageOf(Circuit, 'CircuitList') },
    },
    async (_, c) => {
      await demand(c, 'list', 'WorkflowRun', null);
      const items = deps.circuits().map((circuit) => ({ ...circuit, openUntil: isoOrNull(circuit.openUntil) }));
      return c.json({ items, next: null });
    },
  );
}
