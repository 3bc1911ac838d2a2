import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { ArtifactTooLarge, type StoredArtifact } from '../seams/artifacts.ts';
import type { Clock } from '../seams/clock.ts';
import type { SpoolShare } from './spool-room.ts';

/** Where room is scarce: others wait for what this takes. */
export interface SharedRoom {
  room: SpoolShare;
  clock: Clock;
}

/** Whoever sends nothing for so long has gone, and does not keep the room from others. */
const silenceMs = 120_000;

/**
 * Writes a stream into a new file, whole and on the disk before this resolves. Where the room is shared it is read only as
 * fast as there is room for it, and not when nothing comes for two minutes.
 * @throws ArtifactTooLarge after `maxBytes`; as the stream and the disk do. The file is the caller's to remove
 */
export async function spool(
  content: Readable,
  path: string,
  maxBytes: number,
  shared: SharedRoom | null = null,
): Promise<StoredArtifact> {
  const hash = createHash('sha256');
  let bytes = 0;
  const file = await open(path, 'wx', 0o600);
  const listen = () => (shared === null ? () => {} : endWhenSilent(content, shared.clock));
  let heard = listen();
  try {
    for await (const chunk of content as AsyncIterable<Uint8Array>) {
      heard();
      bytes += chunk.byteLength;
      if (bytes > maxBytes) throw new ArtifactTooLarge(`it has more than ${maxBytes} bytes`);
      await shared?.room.take(chunk.byteLength);
      hash.update(chunk);
      await writeAll(file, chunk);
      heard = listen();
    }
    heard();
    await file.sync();
  } finally {
    heard();
    content.destroy();
    await file.close();
  }
  return { digest: `sha256:${hash.digest('hex')}`, bytes };
}

function endWhenSilent(content: Readable, clock: Clock): () => void {
  return clock.at(clock.now() + silenceMs, () => content.destroy(new Error('nothing of it came for two minutes')));
}

/** A write may take a part only. */
async function writeAll(file: Awaited<ReturnType<typeof open>>, chunk: Uint8Array): Promise<void> {
  for (let at = 0; at < chunk.byteLength; ) {
    const { bytesWritten } = await file.write(chunk, at, chunk.byteLength - at);
    at += bytesWritten;
  }
}
