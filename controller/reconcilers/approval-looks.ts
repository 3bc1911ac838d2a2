import type { WorkflowRun } from '../../crds/workflow-run.ts';
import {
  doubtMessage,
  guardOf,
  isSameLook,
  type JudgedEntries,
  judgeEntries,
  settleMs,
  type WrittenEntry,
} from '../core/approval-trust.ts';
import type { StepApprovalEntry } from '../core/run/types.ts';
import type { Instant } from '../core/time.ts';
import type { Clock } from '../seams/clock.ts';
import type { Governance } from '../seams/governance.ts';
import type { Store } from '../store/types.ts';
import { stepApproval } from './run-observations.ts';

export interface ApprovalLooksDependencies {
  store: Pick<Store, 'approvals'>;
  governance: Pick<Governance, 'approvalsPolicy'>;
  clock: Pick<Clock, 'now'>;
}

/** An object whose spec has approvals, as it is now. */
interface Approved<E> {
  uid: string;
  createdAt: Instant;
  entries: readonly E[];
}

export interface Looked<E> {
  /** Why none counts at present; null: those count that are believed. */
  held: string | null;
  /** By UID of the object. `again`: what is written now would not be believed yet, so look again soon. */
  objects: Map<string, { believed: E[]; doubted: E[]; again: boolean }>;
}

/** Another replica may look at the same object, once, while it changes hands. */
const tries = 5;

/** Which entries of these objects count; what was decided about each is kept. */
export async function lookAtApprovals<E extends WrittenEntry>(
  { store: { approvals }, governance, clock }: ApprovalLooksDependencies,
  objects: readonly Approved<E>[],
): Promise<Looked<E>> {
  const policy = await governance.approvalsPolicy();
  const all = (look: (object: Approved<E>) => { believed: E[]; doubted: E[]; again: boolean }) =>
    new Map(objects.map((object) => [object.uid, look(object)]));
  if (policy.state === 'Unneeded') {
    return { held: null, objects: all(({ entries }) => ({ believed: [...entries], doubted: [], again: false })) };
  }
  if (policy.state === 'Unknown') {
    return { held: policy.message, objects: all(() => ({ believed: [], doubted: [], again: true })) };
  }
  const now = clock.now();
  const guard =
    policy.state === 'InForce' ? guardOf(policy, await approvals.policySeen(policy.identity, now), now) : null;

  async function judge(object: Approved<E>): Promise<JudgedEntries<E>> {
    for (let tried = 0; tried < tries; tried++) {
      const before = await approvals.get(object.uid);
      const judged = judgeEntries(object, before?.look ?? null, guard);
      const isKnown = before !== null && isSameLook(before.look, judged.look);
      if (isKnown || (await approvals.put(object.uid, judged.look, before?.revision ?? 0))) return judged;
    }
    throw new Error(`others look at the approvals of ${object.uid} all the time`);
  }

  const judged = await Promise.all(
    objects.map(async (object) => {
      const { believed, doubted, look } = await judge(object);
      return [object.uid, { believed, doubted, again: look.policy === null }] as const;
    }),
  );
  return { held: policy.state === 'InForce' ? null : policy.message, objects: new Map(judged) };
}

/** While none counts, it is looked again whether that is still so. */
const heldIntervalMs = 10_000;

/** Which approvals of a run count, which do not and why, and when that is looked at again if its spec stays as it is. */
export async function lookAtRun(
  deps: ApprovalLooksDependencies,
  { metadata, spec }: WorkflowRun,
): Promise<{ approvals: StepApprovalEntry[]; held: string | null; againInMs: number | null }> {
  const entries = spec.approvals ?? [];
  const object = { uid: metadata.uid, createdAt: Date.parse(metadata.creationTimestamp), entries };
  const { held, objects } = await lookAtApprovals(deps, [object]);
  if (held !== null) return { approvals: [], held, againInMs: heldIntervalMs };
  const { believed = [], doubted = [], again = false } = objects.get(metadata.uid) ?? {};
  const approvals = believed.map(stepApproval);
  return { approvals, held: doubtMessage(doubted, again), againInMs: again ? settleMs : null };
}
