import type { Client, Run, Step } from '../../api/client.ts';
import { findRun } from '../namespaces.ts';
import { formatData } from '../output/format.ts';
import { conditionsSection, eventsSection, formatFields, section, when } from '../output/sections.ts';
import { formatTable } from '../output/table.ts';
import { causeFirst, formatSpan, none, oneLine, printable } from '../output/text.ts';
import { eventsAfter } from '../resources/events.ts';
import type { View } from '../resources/resource.ts';
import { runSpan } from '../resources/runs.ts';
import { stepColumns } from '../resources/steps.ts';

/** A run: its steps with durations, attempts and errors, its conditions, and what happened. */
export async function describeRun(
  client: Client,
  name: string,
  namespace: string | undefined,
  view: View,
): Promise<string> {
  const key = await findRun(client, name, namespace);
  const run = await client.run(key);
  const happened = await eventsAfter(client, { kind: 'WorkflowRun', ...key }, 0);
  return [
    formatFields([
      ['Name', run.name],
      ['Namespace', run.namespace],
      ['Workflow', run.workflow],
      ['Version', run.version],
      ['Digest', run.digest],
      ['Environment', run.environment],
      ['Phase', view.paint(run.phase)],
      ['Execution', run.execution === 1 ? null : String(run.execution)],
      ['Priority', run.priority === 0 ? null : String(run.priority)],
      ['Child of', run.parent === null ? null : `step ${run.parent.step} of run ${run.parentName ?? run.parent.runId}`],
      ['Replay of', run.replayOf],
      ['Desired', run.desired === 'Running' ? null : `${run.desired}${run.reason === null ? '' : `: ${run.reason}`}`],
      ['Created', when(run.createdAt, view)],
      ['Started', when(run.startedAt, view)],
      ['Finished', run.finishedAt === null ? null : when(run.finishedAt, view)],
      ['Duration', runSpan(run, view.now)],
      ['Waits', run.waits === null ? null : `${run.waits.reason}: ${printable(run.waits.message)}`],
      ['Error', run.error === null ? null : `${run.error.type}: ${printable(run.error.message)}`],
      ['Deleted', run.deleted ? 'yes; this is its history' : null],
    ]),
    section('Inputs', values(run.inputs)),
    section('Outputs', values(run.outputs)),
    section('Steps', stepTable(run.steps, view)),
    section('Attempts', attemptTable(run.steps)),
    section('Images', imageTable(run.steps)),
    section('Approvals', approvals(run)),
    conditionsSection(run.conditions, view),
    eventsSection(happened, view),
  ].join('');
}

function values(map: object | null): string {
  return map === null || Object.keys(map).length === 0 ? '' : printable(formatData(map, 'yaml'));
}

function stepTable(steps: readonly Step[], view: View): string {
  if (steps.length === 0) return '';
  const rows = steps.map((step) => stepColumns.map((column) => column.value(step, view)));
  return formatTable(
    stepColumns.map((column) => column.head),
    rows,
  );
}

/** Only of steps that have more to tell than their own line. */
function attemptTable(steps: readonly Step[]): string {
  const rows = steps
    .filter((step) => step.attempts.length > 1 || step.attempts.some((attempt) => attempt.error !== null))
    .flatMap((step) =>
      step.attempts.map((attempt) => [
        step.name,
        attempt.via === 'main' ? String(attempt.number) : `${attempt.number} (${attempt.via})`,
        attempt.phase,
        attempt.durationMs === null ? none : formatSpan(attempt.durationMs),
        attempt.error === null
          ? ''
          : `${attempt.error.type}: ${oneLine(printable(causeFirst(attempt.error.message)), 120)}`,
      ]),
    );
  return rows.length === 0 ? '' : formatTable(['STEP', 'ATTEMPT', 'PHASE', 'DURATION', 'ERROR'], rows);
}

/** What ran in containers: a tag may mean another image tomorrow. */
function imageTable(steps: readonly Step[]): string {
  const rows = steps.flatMap((step) =>
    step.attempts.flatMap(({ number, imageId }) =>
      imageId === null ? [] : [[step.name, String(number), printable(imageId)]],
    ),
  );
  return rows.length === 0 ? '' : formatTable(['STEP', 'ATTEMPT', 'IMAGE'], rows);
}

function approvals(run: Run): string {
  return run.approvals
    .map((a) => `${a.step}: ${a.decision} by ${a.user}${a.comment ? `: ${a.comment}` : ''}\n`)
    .join('');
}
