import { constants } from 'node:os';
import { storableText } from './storable.ts';

/** For people: what an exit code means, and the last line of the log. A shell tells of a signal by 128 + its number. */
export function describeExit(exitCode: number, lastLine: string | null, outOfMemory = false): string {
  const signal = Object.entries(constants.signals).find(([, number]) => number === exitCode - 128)?.[0];
  const code = signal ? `exit code ${exitCode} (${signal})` : `exit code ${exitCode}`;
  const what = outOfMemory ? `out of memory: it reached its limit; ${code}` : code;
  return storableText(lastLine === null ? what : `${what}: ${lastLine.slice(0, 500)}`);
}
