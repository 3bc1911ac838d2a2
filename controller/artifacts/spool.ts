import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { ArtifactTooLarge, type StoredArtifact } from '../seams/artifacts.ts';

/**
 * Writes a stream into a new file, whole and on the disk before this resolves.
 * @throws ArtifactTooLarge after `maxBytes`; as the stream and the disk do. The file is the caller's to remove
 */
export async function spool(content: Readable, path: string, maxBytes: number): Promise<StoredArtifact> {
  const hash = createHash('sha256');
  let bytes = 0;
  const file = await open(path, 'wx', 0o600);
  try {
    for await (const chunk of content as AsyncIterable<Uint8Array>) {
      bytes += chunk.byteLength;
      if (bytes > maxBytes) throw new ArtifactTooLarge(`it has more than ${maxBytes} bytes`);
      hash.update(chunk);
      await writeAll(file, chunk);
    }
    await file.sync();
  } finally {
    content.destroy();
    await file.close();
  }
  return { digest: `sha256:${hash.digest('hex')}`, bytes };
}

/** A write may take a part only. */
async function writeAll(file: Awaited<ReturnType<typeof open>>, chunk: Uint8Array): Promise<void> {
  for (let at = 0; at < chunk.byteLength; ) {
    const { bytesWritten } = await file.write(chunk, at, chunk.byteLength - at);
    at += bytesWritten;
  }
}
