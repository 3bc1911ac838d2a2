import { fileURLToPath } from 'node:url';
import { styleText } from 'node:util';
import type { Client, Run } from '../../../api/client.ts';

/** What the controller knows at the end, read back over its HTTP API. */
export async function report(client: Client): Promise<string> {
  const { items: environments } = await client.environments();
  const { items: summaries } = await client.runs();
  const runs = await Promise.all(summaries.toReversed().map((run) => client.run(run)));
  const steps = runs[0]?.steps.map(({ name }) => name) ?? [];
  return [
    heading('Environments'),
    table(
      ['environment', 'workflow', 'version', 'digest', 'since'],
      environments
        .toSorted((a, b) => order(a.name) - order(b.name))
        .flatMap(({ name, active }) =>
          active.map((v) => [name, v.workflow, shortRef(v.ref), v.digest.slice(0, 19), v.since.slice(11, 19)]),
        ),
    ),
    heading('Runs'),
    table(['run', 'in', 'phase', 'took', ...steps.map((step) => `${step} ms`)], runs.map(runRow)),
  ].join('\n');
}

/** Where everything lies, and how to look on. */
export function farewell(at: { repository: string; data: string; log: string; tookMs: number }): string {
  const cli = fileURLToPath(new URL('../../../cli/windlass.js', import.meta.url));
  return [
    heading('Look on'),
    `  npm start -- --repo ${at.repository} --data ${at.data}`,
    `  cd ${at.repository} && node ${cli} get runs`,
    '',
    `  repository ${at.repository}`,
    `  data       ${at.data}`,
    `  log        ${at.log}`,
    '',
    styleText('green', `Everything above was true, in ${seconds(at.tookMs)}.`),
  ].join('\n');
}

/** One line about a run that ended. */
export function ran(run: Run): string {
  return `${run.name} ran in ${run.environment}: ${run.steps.length} steps in ${seconds(run.durationMs)}`;
}

/** `1.23 s`; a dash for what has not ended. */
export function seconds(ms: number | null): string {
  return ms === null ? '–' : `${(ms / 1000).toFixed(2)} s`;
}

function runRow({ name, namespace, phase, durationMs, steps }: Run): string[] {
  const times = steps.map((step) => {
    const tries = step.attempts.length > 1 ? ` ×${step.attempts.length}` : '';
    return `${Math.round(step.durationMs ?? 0)}${tries}`;
  });
  return [name, namespace, phase, seconds(durationMs), ...times];
}

function order(environment: string): number {
  return ['dev', 'staging', 'prod'].indexOf(environment);
}

function shortRef(ref: string): string {
  return /^[0-9a-f]{40,64}$/.test(ref) ? ref.slice(0, 7) : ref;
}

function heading(text: string): string {
  return `\n${styleText('bold', text)}`;
}

function table(head: string[], rows: string[][]): string {
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => (row[i] ?? '').length)));
  const line = (cells: string[]) => `  ${cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  ')}`.trimEnd();
  return [styleText('dim', line(head)), ...rows.map(line)].join('\n');
}
