import { ageAgainst, type NamedCommit } from './age.ts';
import { scopeOf } from './tag.ts';
import type { ActiveVersion, WorkflowChange } from './types.ts';
import { hasBeenActiveEverywhere, isRetiredEverywhere } from './upstream.ts';
import type { View } from './view.ts';

interface Changes {
  changes: WorkflowChange[];
  /** True when there would be more, but what is active is newer and stays. */
  olderLeftOut: boolean;
  /** Left out because the environment tracks upstream and upstream never had it. */
  notUpstream: WorkflowChange[];
}

type Workflows = readonly { name: string; digest: string }[];

/**
 * What letting a ref in would change here now. One that the controller made never replaces a newer version; one made by
 * hand may. Undefined while an ancestry is not known.
 */
export function changesOf(view: View, ref: NamedCommit, workflows: Workflows, automatic: boolean): Changes | undefined {
  const all = differences(view, ref, workflows);
  if (!automatic) return { changes: all.map((d) => d.change), olderLeftOut: false, notUpstream: [] };
  const newer: WorkflowChange[] = [];
  const behind = isBehind(view, ref);
  let unknown = behind === undefined;
  for (const { change, active } of all) {
    const age = active === undefined ? 'newer' : ageAgainst(view, ref, active);
    if (age === undefined) unknown = true;
    else if (age === 'newer' && behind === false) newer.push(change);
  }
  if (unknown) return undefined;
  const changes = newer.filter((change) => isTracked(view, change));
  const notUpstream = newer.filter((change) => !changes.includes(change));
  return { changes, olderLeftOut: newer.length < all.length, notUpstream };
}

/** The workflows a ref speaks of: all, or the one its tag names. */
export function inScope(ref: string, workflows: Workflows): Workflows {
  const scope = scopeOf(ref);
  return scope === null ? workflows : workflows.filter((workflow) => workflow.name === scope);
}

function differences(view: View, ref: NamedCommit, workflows: Workflows) {
  const found: { change: WorkflowChange; active: ActiveVersion | undefined }[] = [];
  for (const { name, digest } of inScope(ref.ref, workflows)) {
    const active = view.active.get(name);
    if (active?.digest === digest) continue;
    const from = active === undefined ? {} : { from: active.digest };
    found.push({ change: { workflow: name, action: 'Promote', ...from, to: digest }, active });
  }
  if (scopeOf(ref.ref) !== null) return found;
  for (const active of view.active.values()) {
    // What came by a tag of its own is not missed by a ref that speaks of all.
    if (scopeOf(active.ref) !== null || workflows.some((workflow) => workflow.name === active.workflow)) continue;
    found.push({ change: { workflow: active.workflow, action: 'Retire', from: active.digest }, active });
  }
  return found;
}

/**
 * Whether a ref of all workflows is older than one that was let in: then it is older as a whole, even where that one
 * changed nothing and an earlier ref still names what is active.
 */
function isBehind(view: View, ref: NamedCommit): boolean | undefined {
  if (scopeOf(ref.ref) !== null) return false;
  const ages = [...view.active.values()]
    .filter((active) => scopeOf(active.ref) === null)
    .map((active) => ageAgainst(view, ref, active));
  if (ages.includes('older')) return true;
  return ages.includes(undefined) ? undefined : false;
}

/**
 * Where upstream is tracked, a ref of all workflows may name a version that upstream never had, because it got another one
 * by a tag of that workflow alone: that one is left out.
 */
function isTracked(view: View, { workflow, to }: WorkflowChange): boolean {
  if (!view.facts.environment.spec.track.upstream) return true;
  return to === undefined
    ? isRetiredEverywhere(view.facts, workflow)
    : hasBeenActiveEverywhere(view.facts, { workflow, digest: to });
}
