import { isDeepStrictEqual } from 'node:util';
import type { Promotion } from '../crds/promotion.ts';
import type { WorkflowRun } from '../crds/workflow-run.ts';
import { refusalOf, wantsExecution } from '../controller/core/run/execution.ts';
import { ObjectConflict, type ObjectStore } from '../controller/seams/objects.ts';
import type { Caller } from './access.ts';
import { approvalEntry, withEntry } from './approvals.ts';
import { withGeneratedName } from './names.ts';
import type { Decision, NewPromotion } from './resources/promotion.ts';
import type { NewReplay, NewRun } from './resources/run.ts';

/** Who decides something. */
type Decider = Pick<Caller, 'user' | 'groups'>;
type Verdict = 'Approve' | 'Reject';

/** Flux's convention: a new value of this annotation asks for a reconcile at once. */
const requestedAt = 'windlass.dev/requestedAt';

/*
 * What people want, written into objects: by the API for its callers, and by the command line in a cluster with the login
 * of the kubeconfig. `check` sees what is about to be created and refuses by throwing.
 */

/** @throws ObjectConflict (AlreadyExists) for a name that is taken */
export function createRun(
  objects: ObjectStore,
  namespace: string,
  { workflow, inputs, name, generateName, priority, labels }: NewRun,
  check: (draft: Record<string, unknown>) => void = () => {},
): Promise<WorkflowRun> {
  const spec = { workflow, ...(inputs ? { inputs } : {}), ...(priority === undefined ? {} : { priority }) };
  const create = (chosen: string) => {
    const metadata = { name: chosen, namespace, ...(labels ? { labels } : {}) };
    check({ metadata, spec });
    return objects.create({ kind: 'WorkflowRun', metadata, spec });
  };
  return name === undefined ? withGeneratedName(generateName ?? `${workflow.slice(0, 240)}-`, create) : create(name);
}

/** Creates a run that does again what was recorded of another. @throws ObjectConflict (AlreadyExists) for a name that is taken */
export function replayRun(
  objects: ObjectStore,
  recorded: { id: string; namespace: string; name: string; workflow: string },
  { name, version, from, inputs }: NewReplay,
): Promise<WorkflowRun> {
  const { id, namespace, workflow } = recorded;
  const replay = { run: id, ...(version === undefined ? {} : { version }), ...(from === undefined ? {} : { from }) };
  const spec = { workflow, ...(inputs ? { inputs } : {}), replay };
  const create = (chosen: string) =>
    objects.create({ kind: 'WorkflowRun', metadata: { name: chosen, namespace }, spec });
  return name === undefined ? withGeneratedName(`${recorded.name.slice(0, 230)}-replay-`, create) : create(name);
}

/** Cancels, pauses or resumes a run; asking twice keeps the first reason. @throws ObjectConflict when it is over */
export function setDesired(
  objects: ObjectStore,
  { namespace, name }: { namespace: string; name: string },
  desired: 'Cancelled' | 'Paused' | 'Running',
  { reason, force = false }: { reason?: string | undefined; force?: boolean | undefined },
): Promise<WorkflowRun> {
  return objects.update('WorkflowRun', namespace, name, (run) => {
    demandUnfinished(run);
    const { spec } = run;
    if (spec.desired === 'Cancelled' && desired !== 'Cancelled') {
      throw new ObjectConflict('Conflict', `Run ${name} is cancelled; that cannot be taken back.`);
    }
    if ((spec.desired ?? 'Running') === desired) return force && !spec.force ? { spec: { ...spec, force } } : null;
    const { reason: _, ...rest } = spec;
    return { spec: { ...rest, desired, ...(reason === undefined ? {} : { reason }), ...(force ? { force } : {}) } };
  });
}

/**
 * Makes a run that has ended go on as its next execution; with `number`, only if that is this one.
 * @throws ObjectConflict while it has not ended, and when it was refused just so
 */
export function retryRun(
  objects: ObjectStore,
  { namespace, name }: { namespace: string; name: string },
  { from, onlyFailed, number: only }: { from?: string | undefined; onlyFailed?: boolean | undefined; number?: number },
): Promise<WorkflowRun> {
  return objects.update('WorkflowRun', namespace, name, (run) => {
    const { spec, status } = run;
    if (status?.finishedAt === undefined) {
      throw new ObjectConflict('Conflict', `Run ${name} has not ended yet; only what has ended is retried.`);
    }
    const number = (status.execution ?? 1) + 1;
    // Asked for already, and not taken up yet.
    if (wantsExecution(run) || (only !== undefined && only !== number)) {
      throw new ObjectConflict('Conflict', `Run ${name} is being retried already.`);
    }
    // It is wanted again, whatever was wanted of it before.
    const { desired: _, reason: _why, force: _force, ...rest } = spec;
    const execution = { number, ...(from === undefined ? {} : { from }), ...(onlyFailed ? { onlyFailed } : {}) };
    const wanted = { ...rest, execution };
    const refused = refusalOf(run);
    // Written again as it stands, it would be looked at no more.
    if (refused !== null && isDeepStrictEqual(wanted, spec))
      throw new ObjectConflict('Conflict', `Run ${name}: ${refused}.`);
    return { spec: wanted };
  });
}

/** `at`: now, by which a decision is another one than that which it takes the place of. @throws ObjectConflict when the run is over */
export function decideStep(
  objects: ObjectStore,
  { namespace, name, step }: { namespace: string; name: string; step: string },
  who: Decider,
  verdict: Verdict,
  decision: Decision,
  askedFor: string[],
  at: string,
): Promise<WorkflowRun> {
  const entry = { step, ...approvalEntry(who, verdict, decision, askedFor), at };
  return objects.update('WorkflowRun', namespace, name, (run) => {
    demandUnfinished(run);
    const { spec, status } = run;
    const execution = status?.execution ?? 1;
    const its = execution === 1 ? entry : { ...entry, execution };
    return {
      spec: { ...spec, approvals: withEntry(spec.approvals ?? [], its, (other) => other.step === step) },
    };
  });
}

function demandUnfinished({ metadata, status }: WorkflowRun): void {
  if (status?.finishedAt === undefined) return;
  throw new ObjectConflict('Conflict', `Run ${metadata.name} is ${status.phase ?? 'Cancelled'} already.`);
}

/** Asks for a ref to be promoted; the name says what and where to. */
export function createPromotion(
  objects: ObjectStore,
  project: string,
  { environment, ref }: NewPromotion,
  check: (draft: Record<string, unknown>) => void = () => {},
): Promise<Promotion> {
  const spec = { environment, ref };
  return withGeneratedName(namePrefix(environment, ref), (name) => {
    const metadata = { name, namespace: project };
    check({ metadata, spec });
    return objects.create({ kind: 'Promotion', metadata, spec });
  });
}

/** One decision a person; a new one takes the old one's place, and by `at`, which is now, is another one. */
export function decidePromotion(
  objects: ObjectStore,
  { namespace, name }: { namespace: string; name: string },
  who: Decider,
  verdict: Verdict,
  decision: Decision,
  askedFor: string[],
  at: string,
): Promise<Promotion> {
  const entry = { ...approvalEntry(who, verdict, decision, askedFor), at };
  return objects.update('Promotion', namespace, name, ({ spec }) => ({
    spec: { ...spec, approvals: withEntry(spec.approvals ?? [], entry, () => true) },
  }));
}

/** Asks for a fetch now. */
export function requestReconcile(
  objects: ObjectStore,
  { namespace, name }: { namespace: string; name: string },
  at: string,
) {
  return objects.update('WorkflowSource', namespace, name, (source) => ({
    annotations: { ...source.metadata.annotations, [requestedAt]: at },
  }));
}

/** `prod-v1-4-0-`, so that a list of names says what they are. */
function namePrefix(environment: string, ref: string): string {
  const short = /^[0-9a-f]{40,64}$/.test(ref) ? ref.slice(0, 12) : ref;
  const safe = short
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');
  return `${environment.slice(0, 100)}-${safe.slice(0, 100)}-`;
}
