import type { Gate, EnvironmentSpec } from '../../../crds/environment.ts';
import type { PromotionApproval } from '../../../crds/promotion.ts';
import type { Diagnostic } from '../diagnostic.ts';
import type { Instant } from '../time.ts';
import type { Identities } from './identities.ts';

export type PromotionPhase = 'Pending' | 'Gating' | 'Succeeded' | 'Failed' | 'Rejected' | 'Superseded';

export interface Person {
  name: string;
  email: string;
}

/** A tag as first seen; another commit later is refused and only noted. */
export interface TagFact {
  /** Without refs/tags/: `v1.4.0` or `nightly-report/v1.4.0`. */
  name: string;
  commit: string;
  /** The commit the tag was moved to after first sight (TagMoved), else null. */
  movedTo: string | null;
  /** The tag is no longer in the repository: waiting promotions of it are withdrawn. */
  deleted: boolean;
  /** Whether `commit` is an ancestor of the branch it must be on, judged at the last fetch. */
  onBranch: boolean;
}

/**
 * What one commit holds below the source's path, judged whole. UnknownRef: the repository has no such commit; as it may
 * come with a later fetch, this answer is never kept.
 */
export type RefContent =
  | { ok: true; workflows: { name: string; digest: string }[] }
  | { ok: false; reason: 'InvalidRef' | 'NoWorkflows' | 'UnknownRef'; diagnostics: Diagnostic[] };

/** What is or was at 100 % in one environment. */
export interface ActiveVersion {
  workflow: string;
  digest: string;
  ref: string;
  commit: string;
  since: Instant;
}

export interface UpstreamFact {
  /** False when the named environment does not exist. */
  exists: boolean;
  active: ActiveVersion[];
  /** Every (workflow, digest) that was ever active there. A workflow that is not in `active` now is retired there. */
  history: { workflow: string; digest: string }[];
  /** Workflows that were retired there and are not active now, with the ref that retired them. */
  retired: { workflow: string; ref: string; commit: string; since: Instant }[];
  /** Finished runs there by digest, without cancelled and infrastructure failures. */
  runs: { workflow: string; digest: string; finished: number; succeeded: number; degraded: number }[];
}

/** A Promotion: its row, and the parts of its object's spec that people may change. */
export interface PromotionFact {
  row: PromotionRow;
  /** The entries that are believed. */
  approvals: PromotionApproval[];
  /** Which entries are not, and what to do; null: there are none. */
  doubts: string | null;
  /** `spec.workflows`: what the ref is expected to hold. */
  expected: { name: string; digest: string }[] | null;
  /** The object was deleted: the promotion is withdrawn. */
  deleted: boolean;
  /**
   * Who wrote the commits and tags since the active version. Null while that is not known, as when `row.commit` is null:
   * gates that ask for it hold. An empty list says that nobody did.
   */
  authors: Person[] | null;
}

export interface GateResult {
  gate: string;
  open: boolean;
  /** What it waits for, or what it saw: the evidence kept when the promotion is let in. */
  message: string;
}

export interface WorkflowChange {
  workflow: string;
  action: 'Promote' | 'Retire';
  from?: string;
  to?: string;
}

/** A Promotion as recorded. Keyed by the UID of its object. */
export interface PromotionRow {
  id: string;
  project: string;
  name: string;
  environment: string;
  ref: string;
  /** Null until the ref is resolved. */
  commit: string | null;
  phase: PromotionPhase;
  /** CamelCase word for the phase: InvalidRef, TagDeleted, ApprovalRejected, NewerPromoted, … */
  reason: string | null;
  message: string | null;
  changes: WorkflowChange[];
  gates: GateResult[];
  /** The environment's gates when it began; tightening acts at once, loosening only later. */
  gatesAtStart: Gate[] | null;
  diagnostics: Diagnostic[];
  /** True for one made by the controller, false for one made by hand. */
  automatic: boolean;
  createdAt: Instant;
  finishedAt: Instant | null;
}

/** Why nothing new comes from a source at present. */
export interface SourceError {
  reason: 'SourceUnreachable' | 'InvalidEnvironments';
  message: string;
}

export interface PromotionFacts {
  /** `since`: when it was made; what ended before was another's of the same name. */
  environment: { project: string; name: string; namespace: string; since: Instant; spec: EnvironmentSpec };
  /**
   * Null when the source does not exist; `error` when it cannot be read at present, was not fetched yet, or has mistakes
   * in its environment files (promotions hold, nothing is lost).
   */
  source: { branch: string; error: SourceError | null } | null;
  branches: { name: string; commit: string }[];
  tags: TagFact[];
  /** By commit. Commits that are not in it have not been read yet: `decidePromotion` asks for them in `read`. */
  contents: ReadonlyMap<string, RefContent>;
  /** Pairs that git confirmed: `${ancestor}..${descendant}`. Asked for in `ancestry`. */
  ancestors: ReadonlyMap<string, boolean>;
  active: ActiveVersion[];
  /** By name, one for each environment of `after`. One that is missing here counts as not existing. */
  upstream: ReadonlyMap<string, UpstreamFact>;
  /** All of this environment that have not finished, and the newest that have: no (ref, commit) of them is tried again. */
  promotions: PromotionFact[];
  /** Why entries of `spec.approvals` cannot be believed at present: approval gates hold and nobody rejects. Null: they can. */
  approvalsHeld: string | null;
  /** Which user is behind a git address; null where people go by name and address. */
  identities: Identities | null;
  /** Names that versions of this project have already, as `nameKey` writes them: they are not given again. */
  knownNames: ReadonlySet<string>;
}

export interface PromotionDecision {
  /** Facts that are missing: read these and decide again. Nothing else is decided about what depends on them. */
  read: string[];
  ancestry: { ancestor: string; descendant: string }[];
  /** Promotion objects to create; the name is deterministic, so creating twice is harmless. */
  create: { name: string; ref: string; commit: string }[];
  /** Rows that changed, whole. */
  promotions: PromotionRow[];
  /** What is active afterwards, for workflows that changed; digest null retires. All in the same transaction as the rows. */
  activate: { workflow: string; digest: string | null; ref: string; commit: string; at: Instant }[];
  /** Names of versions that are active after this decision and had not got them: of what is let in, and of what was active already. */
  names: { workflow: string; digest: string; ref: string; commit: string }[];
  /** `promotion` is the object's name; null: the event is the environment's. */
  events: { promotion: string | null; type: 'Normal' | 'Warning'; reason: string; message: string }[];
  /** For the Environment's status: Stalled when the spec cannot work, else null. */
  stalled: { reason: string; message: string } | null;
  wakeAt: Instant | null;
}
