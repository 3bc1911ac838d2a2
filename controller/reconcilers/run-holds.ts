import type { Clock } from '../seams/clock.ts';

/** Runs whose attempts the world does not let begin for now, each in its namespace. */
export interface RunHolds {
  /** An attempt of this run was not let in. */
  held(namespace: string, id: string): void;
  /** All that this run wanted to begin has begun. */
  begun(id: string): void;
  forget(id: string): void;
  stop(): void;
}

/** So often one of the runs that are held in a namespace tries again, whatever its own backoff has come to. */
const probeMs = 3_000;
/** As many follow each that was let in, so that there are soon as many as there is room for, and never a crowd. */
const followers = 2;

/**
 * What holds them, such as a quota, is a namespace's, and nobody tells when it is lifted: one after the other tries, and
 * the first that is let in brings others. Hundreds of held runs thus cost no more than one.
 */
export function createRunHolds(clock: Clock, wake: (id: string) => void): RunHolds {
  const namespaces = new Map<string, { ids: Set<string>; cancel: () => void }>();
  const namespaceOf = new Map<string, string>();

  function probe(namespace: string): () => void {
    return clock.at(clock.now() + probeMs, () => {
      const held = namespaces.get(namespace);
      if (!held) return;
      held.cancel = probe(namespace);
      next(held.ids, 1);
    });
  }

  /** Those that have waited longest since they tried. */
  function next(ids: Set<string>, count: number): void {
    for (const id of [...ids].slice(0, count)) {
      ids.delete(id);
      ids.add(id);
      wake(id);
    }
  }

  /** What else is held where it was; null: it was not held. */
  function leave(id: string): Set<string> | null {
    const namespace = namespaceOf.get(id);
    const held = namespace === undefined ? undefined : namespaces.get(namespace);
    if (namespace === undefined || !held) return null;
    namespaceOf.delete(id);
    held.ids.delete(id);
    if (held.ids.size > 0) return held.ids;
    held.cancel();
    namespaces.delete(namespace);
    return null;
  }

  return {
    held(namespace, id) {
      namespaceOf.set(id, namespace);
      const known = namespaces.get(namespace);
      if (known) known.ids.add(id);
      else namespaces.set(namespace, { ids: new Set([id]), cancel: probe(namespace) });
    },
    begun(id) {
      const others = leave(id);
      if (others) next(others, followers);
    },
    forget: (id) => void leave(id),
    stop() {
      for (const { cancel } of namespaces.values()) cancel();
      namespaces.clear();
      namespaceOf.clear();
    },
  };
}
