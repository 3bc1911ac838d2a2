import type { AttemptResult, StepError } from '../../core/run/types.ts';
import { describeExit } from '../exit.ts';
import { resultOf, scriptOutputBytes } from '../outputs.ts';
import type { AttemptFolder } from './attempt-folder.ts';

/** How an attempt ended whose launcher has gone. `lastLine`: of its log, masked; for people. */
export async function readResult(
  folder: AttemptFolder,
  secrets: readonly string[],
  lastLine: string | null,
  mostBytes = scriptOutputBytes,
): Promise<AttemptResult> {
  const exitCode = folder.exitCode();
  if (exitCode === null) return lost();
  if (exitCode !== 0)
    return failed({ type: 'exit', exitCode, message: describeExit(exitCode, lastLine), retryable: true });
  const text = await folder.outputText(mostBytes);
  if (text === null) {
    const message = `more than ${mostBytes} bytes were written to $WINDLASS_OUTPUT`;
    return failed({ type: 'output', message, retryable: false });
  }
  return resultOf(text, secrets);
}

/** Nobody runs it and nobody says how it ended. */
export function lost(): AttemptResult {
  const message = 'its process is gone and left no exit code: it was killed, or the machine was restarted';
  return failed({ type: 'infrastructure/lost', message, retryable: true });
}

function failed(error: StepError): AttemptResult {
  return { outcome: 'Failed', error };
}
