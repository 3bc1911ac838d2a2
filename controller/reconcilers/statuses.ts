import type { Logger } from 'pino';
import type { Kind, ObjectByKind } from '../../crds/kinds.ts';
import type { WorkflowRun, WorkflowRunStatus } from '../../crds/workflow-run.ts';
import { nextConditions } from '../core/conditions.ts';
import { asPrinted } from '../core/run/printed.ts';
import type { Instant } from '../core/time.ts';
import { LeaseEnding } from '../runtime/errors.ts';
import { createStatusWriter } from '../runtime/status.ts';
import type { Clock } from '../seams/clock.ts';
import type { ObjectStore } from '../seams/objects.ts';
import type { Store } from '../store/types.ts';
import { createTroubles } from './troubles.ts';

type StatusOf<K extends Kind> = NonNullable<ObjectByKind[K]['status']>;
/** The part of `metadata` that names an object. */
export interface ObjectKey {
  namespace: string;
  name: string;
  uid: string;
}

/** The only writer of the statuses of one kind. */
export interface KindStatusWriter<Status> {
  offer(key: ObjectKey, status: Status, final?: boolean): void;
  known(key: ObjectKey, status: Status | undefined): void;
  /** Drops what is remembered of an object, and what waits to be written into it. */
  forgetId(uid: string): void;
  close(): Promise<void>;
}

export function createKindStatusWriter<K extends Kind>(
  kind: K,
  deps: { objects: Pick<ObjectStore, 'writeStatus'>; clock: Clock; log: Logger },
): KindStatusWriter<StatusOf<K>> {
  const said = {
    trouble: 'a status could not be written; it is tried again',
    over: 'that trouble with its status is over',
  };
  const troubles = createTroubles(deps.log.child({ kind }), said);
  const writer = createStatusWriter<ObjectKey, StatusOf<K>>({
    clock: deps.clock,
    id: (key) => key.uid,
    async write(key, status) {
      await deps.objects.writeStatus(kind, key, status);
      troubles.over(key.uid);
    },
    onError: (key, error) => troubles.failed(key.uid, { namespace: key.namespace, name: key.name }, error),
  });
  return {
    offer: ({ namespace, name, uid }, status, final) => writer.offer({ namespace, name, uid }, status, final),
    known: ({ namespace, name, uid }, status) => writer.known({ namespace, name, uid }, status),
    forgetId(uid) {
      troubles.over(uid);
      writer.forget({ namespace: '', name: '', uid });
    },
    close: () => writer.close(),
  };
}

export interface RunStatusWriter extends KindStatusWriter<WorkflowRunStatus> {
  /** Says that a run cannot be decided and stands still until someone looks. */
  park(object: WorkflowRun, message: string): void;
}

/** Of a replica that has stalled nothing is written: by the time it wakes, others have shown more. */
export function createRunStatusWriter(deps: {
  store: Pick<Store, 'objects' | 'lease'>;
  clock: Clock;
  log: Logger;
}): RunStatusWriter {
  const { store, clock, log } = deps;
  const objects: Pick<ObjectStore, 'writeStatus'> = {
    async writeStatus(kind, key, status) {
      // Asking is what makes a lost one known, by which what waits to be said of its runs is dropped.
      if (store.lease.remainingMs() <= 0) throw new LeaseEnding('the lease is lost');
      await store.objects.writeStatus(kind, key, status);
    },
  };
  const writer = createKindStatusWriter('WorkflowRun', { objects, clock, log });
  const offer: RunStatusWriter['offer'] = (key, status, final) => writer.offer(key, asPrinted(status), final);
  return {
    ...writer,
    offer,
    park(object, message) {
      offer(object.metadata, untilDecided(object, 'Parked', message, clock.now()));
    },
  };
}

/** The status as it was, with the word that nothing is done until a person decides. */
export function untilDecided(
  { metadata, status }: WorkflowRun,
  reason: 'Parked' | 'HistoryLost',
  message: string,
  now: Instant,
): WorkflowRunStatus {
  const conditions = nextConditions(
    status?.conditions,
    [
      { type: 'Succeeded', status: 'Unknown', reason, message },
      { type: 'Finished', status: 'False', reason, message },
      { type: 'Stalled', status: 'True', reason, message },
    ],
    metadata.generation,
    now,
  );
  return { ...status, observedGeneration: metadata.generation, conditions };
}
