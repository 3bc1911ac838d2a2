import type { Context, Hono } from 'hono';
import { type Static, Type } from 'typebox';
import type { EventRow } from '../../controller/store/types.ts';
import { type Kind, findKind, kinds } from '../../crds/kinds.ts';
import { demand, listable } from '../access.ts';
import type { AppDependencies } from '../dependencies.ts';
import { RequestProblem } from '../errors.ts';
import { iso, NamespaceFilter, Name, PageOf, pageQuery } from '../resources/shared.ts';
import { addRoute, only } from '../route.ts';
import { eventStream, wantsEvents } from '../sse.ts';

/** A write by another replica is announced by the store within 2 s; this is only the net below that. */
const pollMs = 10_000;

const EventResource = Type.Object(
  {
    id: Type.Integer({ description: 'Ascending.' }),
    kind: Type.String(),
    namespace: Type.String(),
    name: Type.String(),
    type: Type.Union([Type.Literal('Normal'), Type.Literal('Warning')]),
    reason: Type.String({ description: 'One CamelCase word.' }),
    message: Type.String(),
    at: Type.String({ description: 'RFC 3339, UTC.' }),
  },
  { ref: 'Event' },
);
export type EventResource = Static<typeof EventResource>;

/** What happened, oldest first: starts, ends, failures, decisions. */
export function eventRoutes(app: Hono, deps: AppDependencies): void {
  addRoute(
    app,
    {
      method: 'GET',
      path: '/events',
      id: 'listEvents',
      tag: 'events',
      summary: 'Lists events, or follows them',
      description:
        'With Accept: text/event-stream the events that are there are sent and then the new ones as they come, until the ' +
        'client leaves. Last-Event-ID, or `after`, says from where. Without `kind`, those of the kinds that the caller may ' +
        'list are told.',
      query: only({
        kind: Type.Optional(Type.String({ pattern: '^[A-Za-z]{1,63}$', description: 'Only of objects of this kind.' })),
        namespace: NamespaceFilter,
        name: Type.Optional(Name('Only of the object of this name.')),
        limit: pageQuery.limit,
        after: Type.Optional(
          Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description: 'Only events with a greater id.' }),
        ),
      }),
      response: {
        status: 200,
        description: 'A page of events, or a stream.',
        schema: PageOf(EventResource, 'EventPage'),
        stream: 'Events named `event`: id = its id, data = Event.',
      },
    },
    async ({ query: { limit, after, ...filter } }, c) => {
      const visible = await visibleTo(deps, c, filter);
      const read = (page: { limit: number; after?: number }) => readVisible(deps, filter, visible, page);
      if (!wantsEvents(c)) {
        const rows = await read({ limit, ...(after === undefined ? {} : { after }) });
        const last = rows.at(-1);
        return c.json({ items: rows.map(eventResource), next: rows.length === limit && last ? String(last.id) : null });
      }
      let from = lastEventId(c.req.header('last-event-id')) ?? after ?? 0;
      return eventStream(
        c,
        deps,
        (ring) => [deps.store.events.onAppend(ring)],
        async (stream) => {
          for (;;) {
            const rows = await read({ limit: 500, after: from });
            for (const row of rows) {
              await stream.send('event', String(row.id), eventResource(row));
              from = row.id;
            }
            if (!(await stream.wait(rows.length === 500 ? 0 : pollMs))) return;
          }
        },
      );
    },
  );
}

interface EventFilter {
  kind?: string;
  namespace?: string;
  name?: string;
}

/**
 * Which events the caller may see, null for all: as with lists, those of the kinds that the caller may list there.
 * @throws RequestProblem 403 when there is none
 */
async function visibleTo(
  deps: AppDependencies,
  c: Context,
  { kind, namespace }: EventFilter,
): Promise<((row: EventRow) => boolean) | null> {
  const known = kind === undefined ? undefined : findKind(kind);
  const asked = known === undefined ? (Object.keys(kinds) as Kind[]) : [known];
  const within = await Promise.all(asked.map((each) => listable(c, deps.namespaces, each, namespace)));
  if (within.every((namespaces) => namespaces === undefined)) {
    await demand(c, 'list', known ?? 'WorkflowRun', namespace ?? null);
  }
  if (within.every((namespaces) => namespaces === null || (namespaces !== undefined && namespace !== undefined)))
    return null;
  const where = new Map<string, string[] | null>(
    asked.flatMap((each, i) => (within[i] === undefined ? [] : [[each, within[i]]])),
  );
  return (row) => {
    const namespaces = where.get(row.kind);
    return namespaces === null || (namespaces?.includes(row.namespace) ?? false);
  };
}

/** A full page of what may be seen, if there is as much. */
async function readVisible(
  deps: AppDependencies,
  filter: EventFilter,
  visible: ((row: EventRow) => boolean) | null,
  { limit, after = 0 }: { limit: number; after?: number },
): Promise<EventRow[]> {
  const found: EventRow[] = [];
  for (let from = after; ; ) {
    const rows = await deps.store.events.list(filter, { limit, after: from });
    found.push(...(visible === null ? rows : rows.filter(visible)));
    const last = rows.at(-1);
    if (rows.length < limit || found.length >= limit || last === undefined) return found.slice(0, limit);
    from = last.id;
  }
}

function lastEventId(header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  const id = Number(header);
  if (!Number.isSafeInteger(id) || id < 0 || header.trim() === '') {
    throw new RequestProblem('invalid-parameter', 'Last-Event-ID is no id of an event.');
  }
  return id;
}

function eventResource(row: EventRow): EventResource {
  return {
    id: row.id,
    kind: row.kind,
    namespace: row.namespace,
    name: row.name,
    type: row.type,
    reason: row.reason,
    message: row.message,
    at: iso(row.at),
  };
}
