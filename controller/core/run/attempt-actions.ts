import type { Draft } from './draft.ts';
import { stepAt } from './state.ts';
import { graceMs } from './timers.ts';
import { isEmpty } from './resolve.ts';
import type { ArtifactRef, AttemptRow, ResolvedBody, RunAction, StepError } from './types.ts';
import { bodyOf, type Unit } from './units.ts';

type StartArtifacts = Extract<RunAction, { type: 'Start' }>['artifacts'];

/** What an executor is told to begin. */
export function startAction(draft: Draft, unit: Unit, live: AttemptRow, body: ResolvedBody): RunAction {
  const { run, owner } = draft.state;
  const { namespace, name: runName, workflow, digest, execution } = run;
  const { row } = unit;
  return {
    type: 'Start',
    key: keyOf(live),
    namespace,
    runName,
    owner,
    workflow,
    digest,
    body,
    artifacts: artifactsOf(draft, unit, live),
    effect: `${live.via}/${row?.iteration ?? 0}/${execution}`,
    startedAt: live.startedAt,
  };
}

/** Of most attempts: one for all, as a decision may begin ten thousand of them. */
const noArtifacts: StartArtifacts = Object.freeze({ out: Object.freeze({}), in: Object.freeze({}) });

function artifactsOf(draft: Draft, unit: Unit, live: AttemptRow): StartArtifacts {
  const out = live.via === 'compensate' ? noArtifacts.out : unit.step.artifacts.out;
  const read = inArtifacts(draft, unit);
  const put = read.ok ? read.refs : noArtifacts.in;
  return isEmpty(out) && isEmpty(put) ? noArtifacts : { out, in: put };
}

/** What an executor is told to end. */
export function stopAction({ state }: Draft, { step }: Unit, live: AttemptRow): RunAction {
  const { kind } = bodyOf(step, live.via).body;
  return {
    type: 'Stop',
    key: keyOf(live),
    namespace: state.run.namespace,
    owner: state.owner,
    kind: kind as ResolvedBody['kind'],
    graceMs,
  };
}

const nothingIn = Object.freeze({ ok: true as const, refs: noArtifacts.in });

/** What is put where before an attempt begins, by path. */
export function inArtifacts(
  { state, plan }: Draft,
  { step }: Unit,
): { ok: true; refs: Record<string, ArtifactRef> } | { ok: false; error: StepError } {
  if (isEmpty(step.artifacts.in)) return nothingIn;
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
