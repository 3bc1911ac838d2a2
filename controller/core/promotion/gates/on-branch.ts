import type { NamedCommit } from '../age.ts';
import { isCommit } from '../tag.ts';
import type { GateResult } from '../types.ts';
import { isAncestor, sourceError, tagOf, type View } from '../view.ts';

/** The commit is on the branch that the environment takes from; judged anew at each fetch. */
export function judgeBranch(view: View, ref: NamedCommit): GateResult {
  const branch = requiredBranch(view);
  const tag = tagOf(view, ref.ref);
  if (tag !== undefined) {
    const is = tag.onBranch ? 'is' : 'is not';
    return result(tag.onBranch, `Tag ${tag.name} ${is} on branch ${branch}.`);
  }
  if (!isCommit(ref.ref)) return result(false, `Tag ${ref.ref} is not among the tags that the source reads.`);
  const tip = view.facts.branches.find((known) => known.name === branch);
  if (tip === undefined) return result(false, `The repository has no branch ${branch}.`);
  const on = isAncestor(view, ref.commit, tip.commit);
  if (on === undefined) {
    const error = sourceError(view);
    return result(false, `Not known yet whether it is on branch ${branch}${error ? `: ${error.message}` : '.'}`);
  }
  return result(on, `Commit ${ref.commit.slice(0, 12)} ${on ? 'is' : 'is not'} on branch ${branch}.`);
}

function requiredBranch(view: View): string {
  const { track } = view.facts.environment.spec;
  return track.branch ?? track.tag?.from ?? view.facts.source?.branch ?? '';
}

function result(open: boolean, message: string): GateResult {
  return { gate: 'onBranch', open, message };
}
