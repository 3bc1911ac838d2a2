import type { Context } from 'hono';
import type { WorkflowRun } from '../crds/workflow-run.ts';
import { goesOn } from '../controller/core/run/execution.ts';
import { ObjectConflict } from '../controller/seams/objects.ts';
import type { DeadLetter } from '../controller/store/types.ts';
import { callerOf, demand } from './access.ts';
import type { AppDependencies } from './dependencies.ts';
import { notFound, RequestProblem } from './errors.ts';
import { createRun, retryRun } from './intents.ts';

/** Says of a run, for which dead letter it was created. */
const letterLabel = 'windlass.dev/dead-letter';

/** @throws RequestProblem when there is none of this number */
export async function findDeadLetter(deps: AppDependencies, id: number): Promise<DeadLetter> {
  const letter = await deps.store.deadLetters.get(id);
  if (letter === null) throw notFound(`dead letter ${id}`);
  return letter;
}

/**
 * Starts a dead letter again, once however often and by whoever it is asked. The letter says as which run before anything is
 * started. Whoever finds that and nobody who goes on goes on himself: it is the same redrive.
 * @throws RequestProblem, ObjectConflict or ObjectRefused when nothing is started
 */
export async function redriveLetter(deps: AppDependencies, c: Context, id: number): Promise<WorkflowRun> {
  const letter = await findDeadLetter(deps, id);
  if (letter.state === 'Resolved' || letter.state === 'Discarded') {
    throw conflict(`Dead letter ${id} is ${letter.state} already.`);
  }
  const { namespace, name } = letter;
  const object = await deps.store.objects.get('WorkflowRun', namespace, name);
  const there = object?.metadata.uid === letter.subject ? object : null;
  await (there ? demand(c, 'update', 'WorkflowRun', namespace, name) : demand(c, 'create', 'WorkflowRun', namespace));

  const { redrives, as } = (await cutShort(deps, letter, there)) ?? (await begin(deps, c, letter, there));
  const run = there ? await goOn(c, letter, there) : await createAgain(deps, c, letter, as);
  await deps.store.deadLetters.markRedriven(id, { redrives, as: run.metadata.uid });
  return run;
}

/** Which redrive it is, and the name of its run. */
interface BegunRedrive {
  redrives: number;
  as: string;
}

/** The redrive that was begun, if nobody has said yet that it was done, and it can still be. */
async function cutShort(
  deps: AppDependencies,
  letter: DeadLetter,
  there: WorkflowRun | null,
): Promise<BegunRedrive | null> {
  const { name, redrives, redrivenName: as, redrivenAs } = letter;
  if (as === null || redrivenAs !== null) return null;
  return (there ? as === name : as !== name && (await isFree(deps, letter, as))) ? { redrives, as } : null;
}

async function begin(
  deps: AppDependencies,
  c: Context,
  letter: DeadLetter,
  there: WorkflowRun | null,
): Promise<BegunRedrive> {
  await demandEnded(deps, letter, there);
  const as = there ? letter.name : await nextName(deps, letter);
  const redrive = { by: callerOf(c).user, name: as, at: deps.clock.now() };
  if (!(await deps.store.deadLetters.beginRedrive(letter, redrive))) {
    throw conflict(`Somebody else has just started dead letter ${letter.id} again, or put it aside.`);
  }
  return { redrives: letter.redrives + 1, as };
}

/** `report-x-again-7-1`: of a letter and a redrive there is one, so that a second create finds the first. */
async function nextName(deps: AppDependencies, letter: DeadLetter): Promise<string> {
  const { id, name, redrives } = letter;
  const first = name.replace(/-again-\d+-\d+$/, '').slice(0, 220);
  for (let number = redrives + 1; ; number++) {
    const next = `${first.replace(/[-.]+$/, '')}-again-${id}-${number}`;
    if (await isFree(deps, letter, next)) return next;
  }
}

/** Nobody else's run has this name, and none that is over, whose end would never come. */
async function isFree(deps: AppDependencies, letter: DeadLetter, name: string): Promise<boolean> {
  const run = await deps.store.objects.get('WorkflowRun', letter.namespace, name);
  return run === null || (isOf(run, letter) && run.status?.finishedAt === undefined);
}

function isOf({ metadata }: WorkflowRun, { id }: DeadLetter): boolean {
  return metadata.labels?.[letterLabel] === String(id);
}

async function demandEnded(deps: AppDependencies, letter: DeadLetter, there: WorkflowRun | null): Promise<void> {
  const { id, namespace, name, redrivenName, redrivenAs } = letter;
  if (there && goesOn(there)) throw conflict(`Run ${name} of dead letter ${id} is being retried already.`);
  if (there || letter.state !== 'Redriven' || redrivenName === null || redrivenAs === null) return;
  const row = await deps.store.runs.get(redrivenAs);
  const object = await deps.store.objects.get('WorkflowRun', namespace, redrivenName);
  const isGoing = object?.metadata.uid === redrivenAs && goesOn(object);
  if (row ? row.finishedAt === null : isGoing) {
    throw conflict(`Dead letter ${id} was started again as run ${redrivenName}, which has not ended.`);
  }
}

function goOn(c: Context, { namespace, name }: DeadLetter, run: WorkflowRun): Promise<WorkflowRun> {
  // By whoever was cut short.
  if (goesOn(run)) return Promise.resolve(run);
  return retryRun(callerOf(c).objects, { namespace, name }, { number: (run.status?.execution ?? 1) + 1 });
}

async function createAgain(deps: AppDependencies, c: Context, letter: DeadLetter, name: string): Promise<WorkflowRun> {
  const { id, namespace, workflow, payload } = letter;
  const { inputs, priority } = payload;
  const labels = { [letterLabel]: String(id) };
  try {
    return await createRun(callerOf(c).objects, namespace, {
      workflow,
      inputs,
      name,
      labels,
      ...(priority === 0 ? {} : { priority }),
    });
  } catch (error) {
    if (!(error instanceof ObjectConflict && error.reason === 'AlreadyExists')) throw error;
    const first = await deps.store.objects.get('WorkflowRun', namespace, name);
    if (first && isOf(first, letter)) return first;
    throw error;
  }
}

function conflict(message: string): RequestProblem {
  return new RequestProblem('conflict', message);
}
