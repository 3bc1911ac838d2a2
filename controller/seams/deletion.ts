/** Keeps the object of a run from going before the run has ended. */
export const runFinalizer = 'windlass.dev/run';

/** Names one object, and no other that has its name later. */
export interface RunKey {
  namespace: string;
  name: string;
  uid: string;
}

/**
 * Where what a run begins belongs to the run's object and goes with it: a run that has something to do at its end keeps its
 * object until then. A home where nothing belongs to objects has none.
 */
export interface DeletionGuard {
  /** Keeps the object; one that is gone, or on its way out, is left as it is. @throws when that cannot be written now */
  hold(run: RunKey): Promise<void>;
  /** Lets it go; one that is gone, or was not kept, is no error. @throws when that cannot be written now */
  letGo(run: RunKey): Promise<void>;
  /** Whether the namespace is being deleted with all that is in it. @throws when it cannot be found out now */
  isTerminating(namespace: string): Promise<boolean>;
}
