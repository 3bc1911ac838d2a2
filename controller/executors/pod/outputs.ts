import { createHash } from 'node:crypto';
import type { AttemptResult, StepError } from '../../core/run/types.ts';
import { containerOutputBytes, resultOf, scriptOutputBytes } from '../outputs.ts';

/** What the wrapper's termination message says of $WINDLASS_OUTPUT. */
export type OutputsMessage =
  | { in: 'message'; bytes: Buffer }
  | { in: 'log'; size: number; sha256: string }
  /** They could not be handed over. */
  | { in: 'nothing'; error: StepError };

/** Reads the termination message of a script that ended well; see wrapper.ts. */
export function readMessage(message: string): OutputsMessage {
  const rest = message.slice(1);
  switch (message.slice(0, 1)) {
    case '':
      return { in: 'message', bytes: Buffer.alloc(0) };
    case 't':
      return { in: 'message', bytes: Buffer.from(rest) };
    case 'b':
      return { in: 'message', bytes: Buffer.from(rest, 'base64') };
    case 'l': {
      const [, size, sha256] = /^ (\d{1,10}) ([0-9a-f]{64})$/.exec(rest) ?? [];
      if (size !== undefined && sha256 !== undefined) return { in: 'log', size: Number(size), sha256 };
      break;
    }
    case 'e':
      return { in: 'nothing', error: notHandedOver(rest.trim()) };
  }
  return { in: 'nothing', error: lostOutput('the termination message is not what was written') };
}

/** Reads the termination message of a container, which is what it wrote and nothing else. */
export function readPlainMessage(message: string): OutputsMessage {
  const bytes = Buffer.from(message);
  if (bytes.length <= containerOutputBytes) return { in: 'message', bytes };
  const what = `more than ${containerOutputBytes} bytes were written to $WINDLASS_OUTPUT; a step that hands over more is a script (run)`;
  return { in: 'nothing', error: { type: 'output', message: what, retryable: false } };
}

/** The result of a script that ended well. `framed`: what the log held between its marks; null when it did not come whole. */
export function readOutputs(message: OutputsMessage, framed: string | null, secrets: readonly string[]): AttemptResult {
  if (message.in === 'nothing') return { outcome: 'Failed', error: message.error };
  const bytes = message.in === 'message' ? message.bytes : verified(framed, message);
  if (bytes === null) {
    const error = lostOutput('its outputs, at the end of the log, did not come whole');
    return { outcome: 'Failed', error };
  }
  return resultOf(bytes.toString(), secrets);
}

function verified(framed: string | null, { size, sha256 }: { size: number; sha256: string }): Buffer | null {
  if (framed === null) return null;
  const bytes = Buffer.from(framed, 'base64');
  const sum = createHash('sha256').update(bytes).digest('hex');
  return bytes.length === size && sum === sha256 ? bytes : null;
}

function notHandedOver(what: string): StepError {
  const message =
    what === 'too large'
      ? `more than ${scriptOutputBytes / 2 ** 20} MiB were written to $WINDLASS_OUTPUT`
      : `outputs that are long or no plain text need the program ${what}, which the image does not have`;
  return { type: 'output', message, retryable: false };
}

function lostOutput(message: string): StepError {
  return { type: 'infrastructure/outputLost', message, retryable: true };
}
