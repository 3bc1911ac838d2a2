import { constants } from 'node:os';
import type { AttemptResult, StepError } from '../../core/run/types.ts';
import { containsSecret } from '../masking.ts';
import { storableText } from '../storable.ts';
import type { AttemptFolder } from './attempt-folder.ts';

/** All outputs of a run together, design 4. */
const outputBytes = 16 * 1024 * 1024;

/** How an attempt ended whose launcher has gone. `lastLine`: of its log, masked; for people. */
export async function readResult(
  folder: AttemptFolder,
  secrets: readonly string[],
  lastLine: string | null,
  mostBytes = outputBytes,
): Promise<AttemptResult> {
  const exitCode = folder.exitCode();
  if (exitCode === null) return lost();
  if (exitCode !== 0) return failed({ type: 'exit', exitCode, message: describe(exitCode, lastLine), retryable: true });
  const text = await folder.outputText(mostBytes);
  if (text === null) {
    const message = `more than ${mostBytes} bytes were written to $WINDLASS_OUTPUT`;
    return failed({ type: 'output', message, retryable: false });
  }
  if (text !== '' && containsSecret(text, secrets)) {
    const message = 'what was written to $WINDLASS_OUTPUT contains the value of a secret; outputs are stored and shown';
    return failed({ type: 'secretInOutput', message, retryable: false });
  }
  return { outcome: 'Succeeded', outputs: { text: storableText(text) } };
}

/** Nobody runs it and nobody says how it ended. */
export function lost(): AttemptResult {
  const message = 'its process is gone and left no exit code: it was killed, or the machine was restarted';
  return failed({ type: 'infrastructure/lost', message, retryable: true });
}

function failed(error: StepError): AttemptResult {
  return { outcome: 'Failed', error };
}

/** A shell tells of a signal by 128 + its number. */
function describe(exitCode: number, lastLine: string | null): string {
  const name = Object.entries(constants.signals).find(([, number]) => number === exitCode - 128)?.[0];
  const what = name ? `exit code ${exitCode} (${name})` : `exit code ${exitCode}`;
  return storableText(lastLine === null ? what : `${what}: ${lastLine.slice(0, 500)}`);
}
