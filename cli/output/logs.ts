import type { Output } from '../io.ts';
import { printable } from './text.ts';

/** Prints pieces of output so that a line of one step is never cut by a line of another. */
export interface LogWriter {
  write(step: string, attempt: number, text: string): void;
  /** Nothing more comes: what is left of unfinished lines is printed as lines. */
  end(): void;
}

/** Longest unfinished line that is held back. */
const longestHeld = 64 * 1024;

/**
 * With `prefix`, every line begins with its step, and `step#2` from the second attempt on. With `raw`, which is for what
 * no terminal reads, output is passed on as it is; otherwise nothing but its colours may steer the terminal.
 */
export function createLogWriter(
  output: Pick<Output, 'write'>,
  { prefix, raw }: { prefix: boolean; raw: boolean },
): LogWriter {
  const clean = raw ? (text: string) => text : harmless;
  const format = (label: string, line: string) => `${label} | ${clean(line.replace(/\r$/, ''))}\n`;
  const held = new Map<string, string>();
  return {
    write(step, attempt, text) {
      // alone, a line may be shown before it is whole
      if (!prefix) return output.write(clean(text));
      const label = attempt > 1 ? `${step}#${attempt}` : step;
      const lines = ((held.get(label) ?? '') + text).split('\n');
      let rest = lines.pop() ?? '';
      if (rest.length > longestHeld) {
        lines.push(rest);
        rest = '';
      }
      held.set(label, rest);
      if (lines.length > 0) output.write(lines.map((line) => format(label, line)).join(''));
    },
    end() {
      for (const [label, rest] of held) if (rest !== '') output.write(format(label, rest));
      held.clear();
    },
  };
}

/** Keeps colours and carriage returns (progress bars), and takes out every other control sequence. */
function harmless(text: string): string {
  // oxlint-disable-next-line no-control-regex -- they are what is looked for
  return text.replace(/(\u001b\[[0-9;]*m|\r(?!\u001b))|([\s\S])/gu, (all, kept: string | undefined) =>
    kept === undefined ? printable(all) : kept,
  );
}
