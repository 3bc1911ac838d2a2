import { changesOf, inScope } from './changes.ts';
import { rejectionOf } from './gates/approval.ts';
import { gatesFor, judgeGates } from './gates/judge.ts';
import { shortRef } from '../short.ts';
import { isCommit, scopeOf } from './tag.ts';
import type { GateResult, PromotionFact, PromotionRow, RefContent, SourceError } from './types.ts';
import { contentOf, sourceError, tagOf, type View } from './view.ts';

/** Where one waiting promotion stands now; `open` when nothing holds it and it may be let in. */
export interface Standing {
  fact: PromotionFact;
  row: PromotionRow;
  open: boolean;
}

type End = Pick<PromotionRow, 'reason' | 'message'>;
type Workflows = { name: string; digest: string }[];

const waitReasons: Record<string, string> = {
  onBranch: 'NotOnBranch',
  promote: 'ManualOnly',
  track: 'NotTracked',
  after: 'WaitingForAfter',
  upstream: 'WaitingForUpstream',
  approval: 'WaitingForApproval',
};

/** Takes a promotion that has not ended as far as the facts allow, short of letting it in. */
export function advance(view: View, fact: PromotionFact, now: number): Standing {
  const { row } = fact;
  const ended = (phase: PromotionRow['phase'], end: End, more: Partial<PromotionRow> = {}): Standing => ({
    fact,
    row: { ...row, ...more, ...end, phase, finishedAt: now },
    open: false,
  });
  const waits = (next: Partial<PromotionRow>): Standing => ({ fact, row: { ...row, ...next }, open: false });

  if (fact.deleted) return ended('Superseded', { reason: 'Withdrawn', message: 'The Promotion was deleted.' });
  if (tagOf(view, row.ref)?.deleted) {
    return ended('Superseded', { reason: 'TagDeleted', message: `Tag ${row.ref} was deleted.` });
  }
  const no = view.facts.approvalsHeld === null ? rejectionOf(gatesFor(view, row), fact.approvals) : undefined;
  if (no !== undefined) {
    const comment = no.comment ? `: ${no.comment}` : '.';
    return ended('Rejected', { reason: 'ApprovalRejected', message: `${no.user} rejected it${comment}` });
  }
  const commit = row.commit ?? resolve(view, row.ref);
  const error = sourceError(view);
  if (commit === null) {
    if (error !== null) return waits(unreachable(error));
    return ended('Rejected', { reason: 'UnknownRef', message: unknownRef(row.ref) });
  }
  const content = contentOf(view, commit);
  if (content === undefined) {
    return waits(error === null ? {} : unreachable(error));
  }
  if (!content.ok) {
    return ended('Rejected', refused(content, row.ref), { commit, diagnostics: content.diagnostics });
  }
  const mismatch = checkWorkflows(row.ref, fact.expected, content.workflows);
  if (mismatch !== null) return ended('Rejected', mismatch, { commit });

  const found = changesOf(view, { ref: row.ref, commit }, content.workflows, row.automatic);
  if (found === undefined) return waits(error === null ? {} : unreachable(error));
  // What upstream never had is not part of it, unless there is nothing else: then the gate `after` tells what is missing.
  const changes = found.changes.length > 0 ? found.changes : found.notUpstream;
  if (changes.length === 0) {
    if (found.olderLeftOut) return ended('Superseded', newerPromoted(), { commit, changes });
    const message = 'What it holds is active already.';
    return ended('Succeeded', { reason: 'NothingToChange', message }, { commit, changes, gates: [] });
  }
  const gatesAtStart = row.gatesAtStart ?? view.facts.environment.spec.gates ?? [];
  const next: PromotionRow & { commit: string } = { ...row, phase: 'Gating', commit, changes, gatesAtStart };
  const gates = judgeGates(view, fact, next, changes);
  return { fact, row: { ...next, gates, ...waitingFor(gates) }, open: gates.every((gate) => gate.open) };
}

/** Why a promotion that waited was overtaken. */
export function newerPromoted(by?: PromotionRow): End {
  const what = by === undefined ? 'A newer version' : `${shortRef(by.ref)} by ${by.name}`;
  return { reason: 'NewerPromoted', message: `${what} is active instead.` };
}

/** The workflows a ref speaks of, as far as they are known. */
export function workflowsOf(view: View, row: PromotionRow): readonly { name: string; digest: string }[] {
  const content = row.commit === null ? undefined : view.facts.contents.get(row.commit);
  return content?.ok ? inScope(row.ref, content.workflows) : [];
}

/** The commit of a ref at first sight. */
function resolve(view: View, ref: string): string | null {
  return tagOf(view, ref)?.commit ?? (isCommit(ref) ? ref : null);
}

function unknownRef(ref: string): string {
  return `The source has no tag ${ref}, and it is not a commit by its full hash. Push the tag, or name the commit by all its 40 digits.`;
}

function unreachable({ reason, message }: SourceError): End {
  return { reason, message: `It waits for the source: ${message}` };
}

function refused(content: Extract<RefContent, { ok: false }>, ref: string): End {
  const warnings = content.diagnostics.filter(({ severity }) => severity === 'warning').length;
  const count = content.diagnostics.length - warnings;
  const counted = [counts(count, 'mistake'), ...(warnings === 0 ? [] : [counts(warnings, 'warning')])].join(', ');
  const messages = {
    InvalidRef: `${shortRef(ref)} has ${counted}; nothing of it is promoted. Correct ${count === 1 ? 'it' : 'them'} and push a new version.`,
    NoWorkflows: `${shortRef(ref)} holds no workflow below the source's path.`,
    UnknownRef: `The repository has no commit ${ref}.`,
  };
  return { reason: content.reason, message: messages[content.reason] };
}

function counts(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

function checkWorkflows(ref: string, expected: PromotionFact['expected'], workflows: Workflows): End | null {
  const scope = scopeOf(ref);
  if (scope !== null && !workflows.some(({ name }) => name === scope)) {
    return {
      reason: 'UnknownWorkflow',
      message: `${ref} names the workflow ${scope}, which its commit does not hold.`,
    };
  }
  const wrong = (expected ?? []).filter(
    ({ name, digest }) => workflows.find((w) => w.name === name)?.digest !== digest,
  );
  if (wrong.length === 0) return null;
  const details = wrong.map(({ name, digest }) => {
    const actual = workflows.find((workflow) => workflow.name === name)?.digest;
    return `${name} was expected at ${digest}, but ${actual === undefined ? 'is not there' : `is ${actual}`}`;
  });
  return { reason: 'DigestMismatch', message: `${details.join('; ')}.` };
}

function waitingFor(gates: GateResult[]): End {
  const closed = gates.filter((gate) => !gate.open);
  const first = closed[0];
  if (first === undefined) return { reason: 'Open', message: 'Every gate is open.' };
  const message = closed.map((gate) => `${gate.gate}: ${gate.message}`).join(' ');
  return { reason: waitReasons[first.gate] ?? 'UnknownGate', message };
}
