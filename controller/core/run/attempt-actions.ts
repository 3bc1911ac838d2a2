import type { Draft } from './draft.ts';
import { stepAt } from './state.ts';
import { graceMs } from './timers.ts';
import type { ArtifactRef, AttemptRow, ResolvedBody, RunAction, StepError } from './types.ts';
import { bodyOf, type Unit } from './units.ts';

/** What an executor is told to begin. */
export function startAction(draft: Draft, unit: Unit, live: AttemptRow, body: ResolvedBody): RunAction {
  const { namespace, name: runName, workflow, digest, execution, root, rootName } = draft.state.run;
  const { row, step } = unit;
  const artifacts = inArtifacts(draft, unit);
  return {
    type: 'Start',
    key: keyOf(live),
    namespace,
    runName,
    owner: { uid: root, name: rootName },
    workflow,
    digest,
    body,
    artifacts: {
      out: live.via === 'compensate' ? {} : step.artifacts.out,
      in: artifacts.ok ? artifacts.refs : {},
    },
    effect: `${live.via}/${row?.iteration ?? 0}/${execution}`,
    startedAt: live.startedAt,
  };
}

/** What an executor is told to end. */
export function stopAction({ step }: Unit, live: AttemptRow): RunAction {
  const { kind } = bodyOf(step, live.via).body;
  return { type: 'Stop', key: keyOf(live), kind: kind as ResolvedBody['kind'], graceMs };
}

/** What is put where before an attempt begins, by path. */
export function inArtifacts(
  { state, plan }: Draft,
  { step }: Unit,
): { ok: true; refs: Record<string, ArtifactRef> } | { ok: false; error: StepError } {
  const refs: [string, ArtifactRef][] = [];
  for (const [path, from] of Object.entries(step.artifacts.in)) {
    const index = plan.byName.get(from.step);
    const kept = index === undefined ? {} : (stepAt(state, index).row?.artifacts ?? {});
    const ref = Object.hasOwn(kept, from.name) ? kept[from.name] : undefined;
    if (ref === undefined) {
      const message = `there is no artifact ${from.name} of step ${from.step}`;
      return { ok: false, error: { type: 'artifact', message, retryable: false } };
    }
    refs.push([path, ref]);
  }
  return { ok: true, refs: Object.fromEntries(refs) };
}

function keyOf(live: AttemptRow) {
  return { runId: live.runId, step: live.step, item: live.item, attempt: live.number };
}
