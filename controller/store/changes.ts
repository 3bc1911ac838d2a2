/** Tells those who wait in this process that something may have changed, and other replicas by an empty NOTIFY. */
export interface Changes {
  /** `events`, or `log/<run id>`. */
  on(topic: string, fn: () => void): () => void;
  emit(topic: string): void;
  /** Calls everyone back: another replica wrote something. */
  emitAll(): void;
  /** Whether any other replica is alive, as far as the last heartbeat knew. Without one, nobody is notified. */
  hasPeers(): boolean;
}

/** Listeners must not throw; one that does is reported and hurts nobody else. */
export function createChanges(hasPeers: () => boolean, report: (error: unknown) => void): Changes {
  const listeners = new Map<string, Set<() => void>>();

  function call(fns: Iterable<() => void>): void {
    for (const fn of fns) {
      try {
        fn();
      } catch (error) {
        report(error);
      }
    }
  }

  return {
    hasPeers,
    on(topic, fn) {
      const own = () => fn();
      const set = listeners.get(topic) ?? new Set();
      listeners.set(topic, set.add(own));
      return () => {
        set.delete(own);
        if (set.size === 0 && listeners.get(topic) === set) listeners.delete(topic);
      };
    },
    emit(topic) {
      call(listeners.get(topic) ?? []);
    },
    emitAll() {
      for (const set of listeners.values()) call(set);
    },
  };
}
