import type { JsonObject, JsonValue } from '../../../crds/json.ts';
import type { Condition, Template, TextTemplate } from '../expression/types.ts';

/** Position of a step in `Plan.steps`: main steps first, then `finally`. Stable for a given digest. */
export type StepIndex = number;

/**
 * A workflow made ready to run: defaults filled in, expressions compiled, edges resolved. Built from a snapshot and kept in
 * memory by digest; it holds compiled code and is never stored. Nothing after it looks at the optional fields of the spec.
 */
export interface Plan {
  digest: string;
  name: string;
  steps: PlanStep[];
  /** Number of main steps; `steps[mainCount…]` are `finally`. */
  mainCount: number;
  byName: ReadonlyMap<string, StepIndex>;
  /** Checks a run's inputs and fills in defaults. */
  checkInputs(inputs: JsonObject): { ok: true; inputs: JsonObject } | { ok: false; problems: string[] };
  outputs: Record<string, Template>;
  timeoutMs: number | null;
  queueTimeoutMs: number | null;
  /** Most units of the run that hold a slot at once; null: any number. */
  parallelism: number | null;
  concurrency: { group: TextTemplate; policy: 'Queue' | 'CancelRunning' | 'Reject' } | null;
  /** Held by the run. */
  locks: PlanLock[];
  /** All of the files named by `files`: path → sha256 hex of the content. */
  files: Record<string, string>;
}

export interface PlanStep {
  index: StepIndex;
  name: string;
  section: 'main' | 'finally';
  /** Every edge into this step: `needs`, steps its expressions read, `status('x')`. Ascending, no duplicates. */
  needs: StepIndex[];
  /** Every edge out of it, ascending. */
  successors: StepIndex[];
  condition: Condition | null;
  deadlineMs: number | null;
  criticality: 'critical' | 'high' | 'medium' | 'low';
  forEach: ForEach | null;
  until: Until | null;
  /** Held by each unit of the step. */
  locks: PlanLock[];
  cache: CachePolicy | null;
  artifacts: { out: Record<string, string>; in: Record<string, { step: string; name: string }> };
  /** The step's own body. */
  main: Body;
  /** Tried in order when the body before has failed for good. */
  fallback: (Body | { skip: true } | { fail: TextTemplate })[];
  compensate: Body | null;
}

/** Something that a step does, with limits of its own. */
export interface Body {
  body: StepBody;
  /** Longest time of one attempt; null: none (assert, decide, wait, approval; a child run that has no limit but its own). */
  timeoutMs: number | null;
  retry: RetryPolicy;
}

export interface PlanLock {
  name: TextTemplate;
  limit: number;
}

export interface ForEach {
  items: { list: Template } | { from: Template; to: Template; step: number } | { matrix: Record<string, Template> };
  /** Name of the item in expressions; `index` is its place. */
  as: string;
  parallelism: number | null;
  failFast: boolean;
}

export interface Until {
  condition: Condition;
  limit: number;
  intervalMs: number;
}

export interface CachePolicy {
  key: TextTemplate[];
  version: string;
  ttlMs: number;
}

export interface RetryPolicy {
  /** Attempts after the first. */
  limit: number;
  initialMs: number;
  factor: number;
  maxMs: number;
  jitter: number;
  /** Null: error.retryable decides. */
  condition: Condition | null;
}

export interface SecretRef {
  name: string;
  key: string;
}

/** How a script runs in a cluster. On a laptop, where it is a process, nothing of this applies. */
export interface PodSettings {
  /** As written; null when neither the step nor the workflow names one. */
  image: string | null;
  resources: JsonObject | null;
  nodeSelector: Record<string, string>;
  tolerations: JsonObject[];
  affinity: JsonObject | null;
  /** Volumes of Kubernetes, each with `mountPath` and maybe `readOnly` and `subPath`. */
  volumes: JsonObject[];
  imagePullSecrets: string[];
  serviceAccountName: string | null;
  security: 'restricted' | 'baseline';
  /** `metadata` and `spec` of the Pod, for the rest. */
  podTemplate: JsonObject;
}

/** Exactly one kind a step; the kind is the discriminant everywhere after the plan. */
export type StepBody =
  | {
      kind: 'run';
      script: string;
      shell: string[];
      env: Record<string, TextTemplate>;
      secrets: Record<string, SecretRef>;
      pod: PodSettings;
      /** Declared outputs and how to read each: undeclared names are refused. */
      outputs: Record<string, OutputSchema>;
    }
  | {
      kind: 'container';
      image: string;
      command: TextTemplate[] | null;
      args: TextTemplate[] | null;
      workingDir: string | null;
      env: Record<string, TextTemplate>;
      secrets: Record<string, SecretRef>;
      /** Its image is the body's. */
      pod: PodSettings;
      outputs: Record<string, OutputSchema>;
    }
  | { kind: 'workflow'; name: string; inputs: Record<string, Template> }
  | { kind: 'assert'; assertions: { that: Condition; message: TextTemplate | null }[] }
  | { kind: 'decide'; cases: { condition: Condition | null; then: Record<string, Template> }[] }
  | {
      kind: 'http';
      method: string;
      url: TextTemplate;
      headers: Record<string, TextTemplate>;
      secretHeaders: Record<string, SecretRef & { prefix: string }>;
      body: Template | null;
      expect: string[];
      requestTimeoutMs: number;
      /** POST and PATCH retry only if the step itself says `retry`. */
      retryable: boolean;
    }
  | { kind: 'template'; source: { file: string } | { text: string }; vars: Record<string, Template> }
  | { kind: 'wait'; until: { forMs: number } | { instant: TextTemplate } }
  | { kind: 'approval'; groups: string[] | null; count: number; timeoutMs: number | null };

/** How a declared output of a script is read from text, and checked. */
export interface OutputSchema {
  type: 'string' | 'integer' | 'number' | 'boolean' | 'array' | 'object' | 'any';
  /** Problems of a value, empty when it fits. */
  check(value: JsonValue): string[];
}
