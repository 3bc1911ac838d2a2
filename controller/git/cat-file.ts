import { LimitExceeded, ObjectMissing } from './errors.ts';
import type { GitResult } from './process.ts';
import { maxBlobBytes } from './tree.ts';

/**
 * Reads the answers of `cat-file --batch`, in the order asked.
 * @throws ObjectMissing, LimitExceeded
 */
export function parseBatch(ids: readonly string[], { stdout }: GitResult): Map<string, Uint8Array> {
  const contents = new Map<string, Uint8Array>();
  let at = 0;
  for (const id of ids) {
    const end = stdout.indexOf(0x0a, at);
    const [, type, length] = stdout.toString('latin1', at, end < 0 ? at : end).split(' ');
    const size = Number(length);
    if (type !== 'blob' || !Number.isSafeInteger(size) || end + 1 + size >= stdout.length)
      throw new ObjectMissing(`The file ${id} is not in the fetched repository. Fetch again.`);
    if (size > maxBlobBytes)
      throw new LimitExceeded(`A file of ${size} bytes is over the limit of ${maxBlobBytes}. Make it smaller.`);
    contents.set(id, stdout.subarray(end + 1, end + 1 + size));
    at = end + 1 + size + 1;
  }
  return contents;
}
