import { open } from 'node:fs/promises';
import type { ArtifactStore, StoredArtifact } from '../seams/artifacts.ts';
import type { Clock } from '../seams/clock.ts';
import { hexOf } from './digest.ts';
import { createS3Requests, type S3Bucket, S3Refused, textOf } from './s3-requests.ts';
import { spool } from './spool.ts';
import { SpoolRoom } from './spool-room.ts';
import { Spools } from './spools.ts';

export interface S3Options extends S3Bucket {
  /** Before every key; empty or ending in a slash. */
  prefix: string;
  /** Folder for what is on its way to the bucket: its name is known only at its end. */
  spools: string;
  clock: Clock;
  /** Most bytes of one artifact, so that there is room for it in `spools`; what more is on its way at once waits. */
  maxBytes: number;
  /** What is larger is sent in parts of this size: at least 5 MiB, but for tests. Default 16 MiB, held in memory. */
  partBytes?: number;
}

const deletionsAtOnce = 8;
/** For what comes while a large one is on its way. */
const besidesBytes = 256 * 1024 * 1024;

/** Artifacts as objects of a bucket, `<prefix>sha256/<hex>`. The bucket, or the prefix of it, belongs to one database. */
export function createS3Artifacts(options: S3Options): ArtifactStore {
  const { prefix, clock, partBytes = 16 * 1024 * 1024 } = options;
  const spools = new Spools(options.spools, clock);
  const room = new SpoolRoom(options.maxBytes, options.maxBytes + besidesBytes);
  const send = createS3Requests(options, clock);
  const keyOf = (digest: string): string => `${prefix}sha256/${hexOf(digest)}`;

  async function exists(key: string): Promise<boolean> {
    const answer = await send({ method: 'HEAD', key, accept: ['NotFound'] });
    if (answer.ok) await answer.body.dump();
    return answer.ok;
  }

  async function upload(path: string, { digest, bytes }: StoredArtifact): Promise<void> {
    const key = keyOf(digest);
    if (await exists(key)) return;
    const file = await open(path, 'r');
    try {
      // One buffer for all parts: each has been sent when the next is read.
      const buffer = new Uint8Array(Math.min(partBytes, bytes));
      const read = async (at: number): Promise<Uint8Array> => {
        const part = buffer.subarray(0, Math.min(partBytes, bytes - at));
        for (let done = 0; done < part.byteLength; ) {
          const { bytesRead } = await file.read(part, done, part.byteLength - done, at + done);
          if (bytesRead === 0) throw new Error(`${path} ended after ${at + done} of ${bytes} bytes`);
          done += bytesRead;
        }
        return part;
      };
      await (bytes <= partBytes ? uploadWhole(key, await read(0)) : uploadParts(key, bytes, read));
    } finally {
      await file.close();
    }
  }

  async function uploadWhole(key: string, body: Uint8Array): Promise<void> {
    await textAfter(await send({ method: 'PUT', key, body }));
  }

  /** Nobody sees the object before its last part; parts of a controller that was killed are for a lifecycle rule. */
  async function uploadParts(key: string, bytes: number, read: (at: number) => Promise<Uint8Array>): Promise<void> {
    const begun = await textAfter(await send({ method: 'POST', key, query: { uploads: '' } }));
    const uploadId = textOf(begun, 'UploadId');
    if (uploadId === null) throw new Error(`the bucket began an upload and did not say which: ${begun.slice(0, 200)}`);
    try {
      const parts: string[] = [];
      for (let at = 0; at < bytes; at += partBytes) {
        const query = { partNumber: String(parts.length + 1), uploadId };
        const answer = await send({ method: 'PUT', key, query, body: await read(at) });
        const etag = answer.ok ? answer.headers['etag'] : undefined;
        await textAfter(answer);
        if (typeof etag !== 'string') throw new Error('the bucket took a part and gave no ETag for it');
        parts.push(`<Part><PartNumber>${parts.length + 1}</PartNumber><ETag>${etag}</ETag></Part>`);
      }
      const body = Buffer.from(`<CompleteMultipartUpload>${parts.join('')}</CompleteMultipartUpload>`);
      const answer = await send({ method: 'POST', key, query: { uploadId }, body, accept: ['NoSuchUpload'] });
      // It was done, and its answer was lost.
      if (!answer.ok && (await exists(key))) return;
      if (!answer.ok) throw new S3Refused(`completing ${key}`, answer.code, 'somebody has given the upload up');
      // It may fail after it has said 200.
      const end = await textAfter(answer);
      const code = textOf(end, 'Code');
      if (code !== null) throw new S3Refused(`completing ${key}`, code, textOf(end, 'Message') ?? '');
    } catch (error) {
      await send({ method: 'DELETE', key, query: { uploadId } }).then(textAfter, () => '');
      throw error;
    }
  }

  async function remove(digest: string): Promise<void> {
    await textAfter(await send({ method: 'DELETE', key: keyOf(digest), accept: ['NoSuchKey', 'NotFound'] }));
  }

  return {
    async put(content, maxBytes, known = async () => {}) {
      const share = room.begin();
      try {
        return await spools.with(async (path) => {
          const artifact = await spool(content, path, maxBytes, { room: share, clock });
          share.filled();
          await known(artifact);
          await upload(path, artifact);
          return artifact;
        });
      } finally {
        share.release();
      }
    },
    async get(digest) {
      const answer = await send({ method: 'GET', key: keyOf(digest), accept: ['NoSuchKey'] });
      if (!answer.ok) return null;
      return { content: answer.body, bytes: Number(answer.headers['content-length']) };
    },
    async read(digest, start, bytes) {
      const key = keyOf(digest);
      if (bytes === 0) return (await exists(key)) ? new Uint8Array(0) : null;
      const range: [number, number] = [start, start + bytes - 1];
      const answer = await send({ method: 'GET', key, range, accept: ['NoSuchKey', 'InvalidRange'] });
      if (answer.ok) return answer.body.bytes();
      return answer.code === 'InvalidRange' ? new Uint8Array(0) : null;
    },
    async delete(digests) {
      for (let i = 0; i < digests.length; i += deletionsAtOnce) {
        await Promise.all(digests.slice(i, i + deletionsAtOnce).map(remove));
      }
    },
  };
}

/** Reads the answer to its end, so that its connection is free again. */
async function textAfter(answer: Awaited<ReturnType<ReturnType<typeof createS3Requests>>>): Promise<string> {
  return answer.ok ? answer.body.text() : '';
}
