import type { ObjectStore } from '../seams/objects.ts';
import type { Store } from './types.ts';

/** A store whose desired state is kept elsewhere; its history, lease and leadership are as they were. */
export function withObjects(store: Store, objects: ObjectStore): Store {
  const { driver, runs, promotions, versions, refs, events, cache, deadLetters, locks, logs, artifacts, approvals } =
    store;
  return {
    driver,
    // It changes when a lease is lost and another taken.
    get lease() {
      return store.lease;
    },
    objects,
    runs,
    promotions,
    versions,
    refs,
    events,
    cache,
    deadLetters,
    locks,
    logs,
    artifacts,
    approvals,
    isLeader: () => store.isLeader(),
    onLeadership: (fn) => store.onLeadership(fn),
    ping: () => store.ping(),
    close: () => store.close(),
  };
}
