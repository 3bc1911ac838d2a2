import type { AttemptResult } from '../core/run/types.ts';
import { containsSecret } from './masking.ts';
import { storableText } from './storable.ts';

/** Most bytes that a script writes to $WINDLASS_OUTPUT: all outputs of a run together, design 4. */
export const scriptOutputBytes = 16 * 1024 * 1024;
/**
 * Most bytes that a container step writes to $WINDLASS_OUTPUT, in both homes. Kubernetes hands over the last 4096 of a
 * termination message without a word: what fills them may have been cut.
 */
export const containerOutputBytes = 4095;

/** The result of a step that ended well and wrote `text` to $WINDLASS_OUTPUT. */
export function resultOf(text: string, secrets: readonly string[]): AttemptResult {
  if (text !== '' && containsSecret(text, secrets)) {
    const message = 'what was written to $WINDLASS_OUTPUT contains the value of a secret; outputs are stored and shown';
    return { outcome: 'Failed', error: { type: 'secretInOutput', message, retryable: false } };
  }
  return { outcome: 'Succeeded', outputs: { text: storableText(text) } };
}
