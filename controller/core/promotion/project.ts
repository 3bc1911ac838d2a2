import type { EnvironmentStatus } from '../../../crds/environment.ts';
import type { Condition } from '../../../crds/metadata.ts';
import type { PromotionStatus } from '../../../crds/promotion.ts';
import { type Assertion, nextConditions } from '../conditions.ts';
import { shortRef } from '../short.ts';
import type { Instant } from '../time.ts';
import type { ActiveVersion, PromotionDecision, PromotionRow, SourceError } from './types.ts';
import { isWaiting } from './view.ts';

// As the schemas of the kinds bound them: a status must fit whatever is recorded.
const limits = { active: 200, changes: 200, gates: 40, message: 4096 };

/** The status of a Promotion, from its row. `handled`: the request to reconcile that this answers. */
export function projectPromotionStatus(
  row: PromotionRow,
  generation: number,
  current: Condition[] | undefined,
  now: Instant,
  handled?: string,
): PromotionStatus {
  return {
    observedGeneration: generation,
    ...(handled === undefined ? {} : { lastHandledReconcileAt: handled }),
    phase: row.phase,
    ...(row.commit === null ? {} : { commit: row.commit }),
    shortRef: shortRef(row.ref),
    changes: row.changes.slice(0, limits.changes),
    gates: row.gates.slice(0, limits.gates).map((gate) => ({ ...gate, message: cut(gate.message) })),
    ...(row.finishedAt === null ? {} : { finishedAt: new Date(row.finishedAt).toISOString() }),
    conditions: nextConditions(current, promotionConditions(row), generation, now),
  };
}

export interface EnvironmentView {
  generation: number;
  /** The request to reconcile that this answers. */
  handled?: string | undefined;
  /** Of the last commit. */
  revision: number;
  /** The namespace it owns. */
  namespace: string;
  suspended: boolean;
  /** Why the source cannot be read at present, or null. */
  sourceError: SourceError | null;
  /** From the decision, or the reconciler's own (NameTaken and the like). */
  stalled: PromotionDecision['stalled'];
  /** What its spec names and is not there (`findProblem`), or null. */
  problem: { reason: string; message: string } | null;
  /** What is active after the decision. */
  active: ActiveVersion[];
  /** Its promotions after the decision; those that have ended do not matter. */
  promotions: PromotionRow[];
  conditions: Condition[] | undefined;
}

/** The status of an Environment, from what was recorded and decided. */
export function projectEnvironmentStatus(view: EnvironmentView, now: Instant): EnvironmentStatus {
  return {
    observedGeneration: view.generation,
    ...(view.handled === undefined ? {} : { lastHandledReconcileAt: view.handled }),
    revision: view.revision,
    namespace: view.namespace,
    active: view.active
      .toSorted((a, b) => (a.workflow < b.workflow ? -1 : 1))
      .slice(0, limits.active)
      .map(({ workflow, digest, ref, since }) => ({ workflow, digest, ref, since: new Date(since).toISOString() })),
    waiting: view.promotions.filter(isWaiting).length,
    conditions: nextConditions(view.conditions, environmentConditions(view), view.generation, now),
  };
}

function promotionConditions(row: PromotionRow): Assertion[] {
  const reason = row.reason ?? row.phase;
  const message = cut(row.message ?? '');
  if (isWaiting(row)) {
    return [
      { type: 'Ready', status: 'Unknown', reason, message },
      { type: 'Reconciling', status: 'True', reason, message },
    ];
  }
  if (row.phase === 'Succeeded') return [{ type: 'Ready', status: 'True', reason, message }];
  // Also for one that was overtaken: it will never be let in, and whoever waits for it must not wait for ever.
  return [
    { type: 'Ready', status: 'False', reason, message },
    { type: 'Stalled', status: 'True', reason, message },
  ];
}

function environmentConditions(view: EnvironmentView): Assertion[] {
  const { stalled, suspended, sourceError, problem } = view;
  if (suspended)
    return [
      { type: 'Ready', status: 'False', reason: 'Suspended', message: 'Nothing is promoted while `suspend` is true.' },
    ];
  if (stalled !== null) {
    const message = cut(stalled.message);
    return [
      { type: 'Ready', status: 'False', reason: stalled.reason, message },
      { type: 'Stalled', status: 'True', reason: stalled.reason, message },
    ];
  }
  if (sourceError !== null) {
    const { reason } = sourceError;
    const message = cut(`What is active stays; nothing new can be read: ${sourceError.message}`);
    return [
      { type: 'Ready', status: 'False', reason, message },
      reason === 'InvalidEnvironments'
        ? { type: 'Stalled', status: 'True', reason, message }
        : { type: 'Reconciling', status: 'True', reason, message },
    ];
  }
  if (problem !== null) {
    const message = cut(problem.message);
    return [
      { type: 'Ready', status: 'False', reason: problem.reason, message },
      { type: 'Stalled', status: 'True', reason: problem.reason, message },
    ];
  }
  const waiting = view.promotions.filter(isWaiting);
  if (waiting.length === 0) return [{ type: 'Ready', status: 'True', reason: 'UpToDate', message: 'Nothing waits.' }];
  const refs = waiting.slice(0, 10).map(({ ref, message }) => `${ref}: ${message ?? ''}`);
  const message = cut(`${waiting.length} waiting. ${refs.join(' ')}`);
  return [{ type: 'Ready', status: 'True', reason: 'PromotionsWaiting', message }];
}

function cut(message: string): string {
  return message.length <= limits.message ? message : `${message.slice(0, limits.message - 1)}…`;
}
