import type { Logger } from 'pino';
import { type Kind, kinds, type ObjectByKind } from '../crds/kinds.ts';
import { apiVersion } from '../crds/metadata.ts';
import type { KubernetesClient } from './kubernetes/client.ts';
import { createEventPublisher, type EventPublisher } from './kubernetes/events.ts';
import { createPace } from './kubernetes/pace.ts';
import type { Clock } from './seams/clock.ts';
import type { ObjectStore } from './seams/objects.ts';
import type { EventRow, Store } from './store/types.ts';

export interface KubernetesEventsOptions {
  store: Store;
  client: KubernetesClient;
  clock: Clock;
  log: Logger;
}

/** What a new leader tells again, as the one before it may not have come to it. Names keep it from being told twice. */
const overlapMs = 60_000;
const overlapRows = 200;
const pageSize = 200;
/** A thousand runs that begin and end at once leave the API server to their Pods. */
const pace = { burst: 100, perSecond: 20 };
/** When Events come later than this, those of what went well are left out. */
const lateMs = 60_000;

/**
 * Tells of what is recorded by Events, which `kubectl describe` shows: transitions of runs and promotions as the journal
 * has them, told by the leader alone. Best effort, and after the fact: no commit waits for it, and when many happen at once they take their time.
 */
export function publishJournal({ store, client, clock, log }: KubernetesEventsOptions): { stop(): Promise<void> } {
  const publisher = publisherOf({ store, client, clock, log });
  const stopping = new AbortController();
  const stopped = stopping.signal;
  const turn = createPace(clock, pace);
  let cursor: number | null = null;
  let running: Promise<void> | null = null;
  let again = false;

  async function drain(): Promise<void> {
    while (again && !stopped.aborted) {
      again = false;
      if (!store.isLeader()) {
        cursor = null;
        continue;
      }
      const since = cursor === null ? clock.now() - overlapMs : Number.NEGATIVE_INFINITY;
      cursor ??= Math.max(0, (await store.events.last()) - overlapRows);
      const rows = await store.events.list({}, { after: cursor, limit: pageSize });
      for (const row of rows) {
        if (stopped.aborted) return;
        if (row.at >= since) await tell(row);
        cursor = row.id;
      }
      if (rows.length === pageSize) again = true;
    }
  }

  async function tell(row: EventRow): Promise<void> {
    if (!(row.kind in kinds)) return;
    if (row.type === 'Normal' && row.at < clock.now() - lateMs) return;
    const object = await store.objects.get(row.kind as Kind, row.namespace, row.name);
    if (!object || Date.parse(object.metadata.creationTimestamp) > row.at + 1000) return;
    await turn(stopped);
    if (stopped.aborted) return;
    const { uid } = object.metadata;
    await publisher.publish({ ...row, apiVersion, uid, id: String(row.id) });
  }

  function wake(): void {
    again = true;
    running ??= drain()
      .catch((error: unknown) => log.warn({ err: error }, 'Events could not be told; they are with the next ones'))
      .finally(() => {
        running = null;
      });
  }

  const stops = [store.events.onAppend(wake), store.onLeadership(wake)];
  wake();
  return {
    async stop() {
      stopping.abort();
      for (const stop of stops) stop();
      await running;
    },
  };
}

/**
 * The same objects; a status that says that somebody has to do something is told by an Event, too: when it begins to say
 * so, or gives another reason.
 */
export function tellStalled(objects: ObjectStore, options: KubernetesEventsOptions): ObjectStore {
  const publisher = publisherOf(options);
  const { clock } = options;
  return {
    ...objects,
    async writeStatus(kind, key, status) {
      const trouble = troubleOf(kind, status);
      const before = trouble && (await objects.get(kind, key.namespace, key.name));
      await objects.writeStatus(kind, key, status);
      if (!trouble || before?.metadata.uid !== key.uid) return;
      const { reason, message } = trouble;
      if (before.status && troubleOf(kind, before.status)?.reason === reason) return;
      // What waits for its workflow is every replica's, and they do not see each other's status at once: once for each reason.
      const everyones = 'phase' in status && status.phase === 'Pending';
      const id = everyones ? reason : `${reason} ${before.metadata.resourceVersion}`;
      void publisher.publish({ ...key, apiVersion, kind, type: 'Warning', reason, message, at: clock.now(), id });
    },
  };
}

/** How a run ended is in the journal. */
function troubleOf<K extends Kind>(kind: K, status: NonNullable<ObjectByKind[K]['status']>) {
  const stalled = status.conditions?.find(({ type }) => type === 'Stalled');
  const progress = status.conditions?.find(({ type }) => type === 'Reconciling');
  // A run goes on by its phase, unless something keeps it; a source is Reconciling only while it cannot be fetched.
  const run = kind === 'WorkflowRun' && 'phase' in status ? status.phase : undefined;
  const kept = kind === 'WorkflowSource' || (run !== undefined && progress?.reason !== run);
  const approvals = status.conditions?.find(
    ({ type, reason }) =>
      type === 'ApprovalsIgnored' || (type === 'WaitingForApproval' && reason === 'ApprovalsNotBelieved'),
  );
  const condition = stalled ?? (kept ? progress : undefined) ?? approvals;
  if (condition?.status !== 'True' || condition.reason === 'Failed' || condition.reason === 'TimedOut') return null;
  return condition;
}

function publisherOf({ store, client, clock, log }: KubernetesEventsOptions): EventPublisher {
  return createEventPublisher({
    client,
    clock,
    instance: () => store.lease.replica,
    onDropped: ({ namespace, reason }, error) =>
      log.warn({ err: error, namespace, reason }, 'an Event could not be written, nor may others be; history has them'),
  });
}
