import { formatData } from './format.ts';
import { formatSpan, printable } from './text.ts';

/** How a run ended, in a line, with its error and outputs below. */
export function describeEnd(run: {
  name: string;
  phase: string;
  durationMs: number | null;
  error: { message: string } | null;
  outputs: object | null;
}): string {
  const after = run.durationMs === null ? '' : ` after ${formatSpan(run.durationMs)}`;
  const error = run.error === null ? '' : `: ${printable(run.error.message)}`;
  const outputs =
    run.outputs === null || Object.keys(run.outputs).length === 0 ? '' : indent(formatData(run.outputs, 'yaml'));
  return `${run.name} ${run.phase}${after}${error}\n${outputs === '' ? '' : `outputs:\n${outputs}`}`;
}

/** Two spaces before every line that is not empty. */
export function indent(text: string): string {
  return text.replace(/^(?=.)/gm, '  ');
}
