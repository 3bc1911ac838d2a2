import type { Kind, ObjectByKind } from '../../crds/kinds.ts';

/** What a writer hands over: a kind, a name and a spec. */
export interface Draft<K extends Kind> {
  kind: K;
  metadata: {
    name: string;
    namespace: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
  };
  spec: ObjectByKind[K]['spec'];
}

export interface ListFilter {
  namespace?: string;
  /** Every label must equal. */
  labels?: Record<string, string>;
}

export type WatchEvent<K extends Kind> = { type: 'Applied' | 'Deleted'; object: ObjectByKind[K] };

/** Stops a watch; idempotent. */
export type StopWatch = () => void;

/**
 * Desired state. One conformance suite (test/conformance/objects.ts) runs on every implementation: Postgres (both
 * drivers), memory and the Kubernetes API. Specs are checked before they come here.
 */
export interface ObjectStore {
  get<K extends Kind>(kind: K, namespace: string, name: string): Promise<ObjectByKind[K] | null>;
  /** Ordered by namespace, then name. */
  list<K extends Kind>(kind: K, filter?: ListFilter): Promise<ObjectByKind[K][]>;
  /** @throws ObjectConflict (AlreadyExists) when the name is taken. */
  create<K extends Kind>(draft: Draft<K>): Promise<ObjectByKind[K]>;
  /**
   * Creates, or replaces spec, labels and annotations. Raises `generation` only when the spec differs; writes nothing at
   * all when nothing differs. `check` sees exactly the state that is replaced (null: none) and refuses by throwing.
   */
  apply<K extends Kind>(
    draft: Draft<K>,
    check?: (present: ObjectByKind[K] | null) => void,
  ): Promise<{ object: ObjectByKind[K]; changed: boolean }>;
  /**
   * Reads, changes and writes the spec (and annotations, when `change` returns them); again from the start if another
   * writer was first. Returning null from `change` writes nothing.
   * @throws ObjectConflict (NotFound)
   */
  update<K extends Kind>(
    kind: K,
    namespace: string,
    name: string,
    change: (
      object: ObjectByKind[K],
    ) => { spec?: ObjectByKind[K]['spec']; annotations?: Record<string, string> } | null,
  ): Promise<ObjectByKind[K]>;
  /** Replaces the status if the object still has this uid; gone or replaced is not an error. Never raises generation. */
  writeStatus<K extends Kind>(
    kind: K,
    key: { namespace: string; name: string; uid: string },
    status: NonNullable<ObjectByKind[K]['status']>,
  ): Promise<void>;
  /** True when something was deleted. With `uid`, only that very object. */
  delete(kind: Kind, namespace: string, name: string, uid?: string): Promise<boolean>;
  /**
   * Delivers every present object as Applied, then every change, at least once and possibly merged; the latest state of
   * an object always arrives. Handlers only enqueue keys. Resolves once the present objects were delivered.
   */
  watch<K extends Kind>(kind: K, handler: (event: WatchEvent<K>) => void): Promise<StopWatch>;
}

/** The write cannot be done as asked; a caller's mistake or a lost race, never the world failing. */
export class ObjectConflict extends Error {
  override name = 'ObjectConflict';
  readonly reason: 'AlreadyExists' | 'NotFound' | 'Conflict';
  constructor(reason: 'AlreadyExists' | 'NotFound' | 'Conflict', message: string) {
    super(message);
    this.reason = reason;
  }
}

/**
 * The home refused the write or the read: it breaks the schema of the kind (Invalid), or this login may not do it
 * (Forbidden). The same request is refused again until a person changes something.
 */
export class ObjectRefused extends Error {
  override name = 'ObjectRefused';
  readonly reason: 'Invalid' | 'Forbidden';
  constructor(reason: 'Invalid' | 'Forbidden', message: string, cause: unknown) {
    super(message, { cause });
    this.reason = reason;
  }
}
