import type { Kind } from '../crds/kinds.ts';
import type { ObjectStore } from '../controller/seams/objects.ts';

/** Who calls. The group `*` stands for every group: on a laptop there is one person. */
export interface Caller {
  user: string;
  groups: string[];
  /** Reads and writes objects with the caller's own rights. */
  objects: ObjectStore;
  /**
   * Whether the caller may do this; `namespace` null asks about all of them. History is asked about as the kind whose
   * history it is: runs, steps and logs as WorkflowRun, versions as Workflow.
   */
  may(
    verb: 'get' | 'list' | 'create' | 'update' | 'delete' | 'approve',
    kind: Kind,
    namespace: string | null,
    name?: string,
  ): Promise<boolean>;
}

/** Says who calls and what they may do; one implementation a home. */
export interface Access {
  /** Values of the Host header that are answered; an entry without a port stands for every port. Null: any. */
  readonly allowedHosts: string[] | null;
  /** The caller whose bearer token this is; null when it is nobody's. @throws when it cannot be found out now */
  authenticate(token: string): Promise<Caller | null>;
  /** What to tell somebody without a good token. */
  readonly hint: string;
}
