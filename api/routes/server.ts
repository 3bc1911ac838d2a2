import type { Hono } from 'hono';
import { type Static, Type } from 'typebox';
import { callerOf } from '../access.ts';
import type { AppDependencies } from '../dependencies.ts';
import { RequestProblem } from '../errors.ts';
import { projectOf } from '../projects.ts';
import { Nullable } from '../resources/shared.ts';
import { addRoute } from '../route.ts';

const ServerInfo = Type.Object(
  {
    version: Type.String({ description: 'Of Windlass.' }),
    project: Nullable(
      Type.String(),
      'The namespace of sources, environments and promotions unless a request names another; null where it must.',
    ),
    user: Type.String({ description: 'Who the token stands for.' }),
    database: Type.Union([Type.Literal('pglite'), Type.Literal('postgres')]),
  },
  { ref: 'Server' },
);
export type ServerInfo = Static<typeof ServerInfo>;

/** There may be several projects, or none. */
function unsaid(error: unknown): null {
  if (error instanceof RequestProblem) return null;
  throw error;
}

/** What answers here. */
export function serverRoutes(app: Hono, deps: AppDependencies): void {
  addRoute(
    app,
    {
      method: 'GET',
      path: '/server',
      id: 'getServer',
      tag: 'server',
      summary: 'Says what answers here',
      response: { status: 200, description: 'The server.', schema: ServerInfo },
    },
    async (_, c) =>
      c.json({
        version: deps.version,
        project: await projectOf(deps, c, undefined).catch(unsaid),
        user: callerOf(c).user,
        database: deps.store.driver,
      } satisfies ServerInfo),
  );
}

const Readiness = Type.Object(
  { ok: Type.Boolean(), reasons: Type.Array(Type.String({ description: 'What is not ready.' })) },
  { ref: 'Readiness' },
);
export type Readiness = Static<typeof Readiness>;

/** Probes; they need no token. */
export function probeRoutes(app: Hono, deps: AppDependencies): void {
  addRoute(
    app,
    {
      method: 'GET',
      path: '/healthz',
      id: 'getHealth',
      tag: 'server',
      summary: 'Says that the process answers',
      secured: false,
      response: { status: 200, description: 'It does.', schema: Type.Object({ ok: Type.Literal(true) }) },
    },
    (_, c) => c.json({ ok: true }),
  );
  addRoute(
    app,
    {
      method: 'GET',
      path: '/readyz',
      id: 'getReadiness',
      tag: 'server',
      summary: 'Says whether it does its work',
      secured: false,
      response: { status: 200, description: 'Ready.', schema: Readiness },
      otherwise: { status: 503, description: 'Not ready.', schema: Readiness },
    },
    async (_, c) => {
      const readiness = await deps.ready();
      return c.json(readiness, readiness.ok ? 200 : 503);
    },
  );
  addRoute(
    app,
    {
      method: 'GET',
      path: '/metrics',
      id: 'getMetrics',
      tag: 'server',
      summary: 'Prometheus metrics',
      secured: false,
      response: { status: 200, description: 'In the text format.', text: true },
    },
    async (_, c) => c.body(await deps.registry.metrics(), 200, { 'content-type': deps.registry.contentType }),
  );
}
