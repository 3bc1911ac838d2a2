import { chmod, cp, mkdir, readdir, readFile, realpath, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { type ArtifactStore, ArtifactTooLarge, type StoredArtifact } from '../../seams/artifacts.ts';
import { bring, keep } from '../artifacts/transfer.ts';
import type { HelperMessage, HelperTask } from './artifacts.ts';

/**
 * Runs in a Pod beside a step, in the controller's own image: brings what the step takes from others, or keeps what it has
 * left. It says how it went by its termination message. What fails on the way is tried again for two minutes: a controller
 * may be restarted meanwhile, and saying the same again is harmless.
 */
const tries = 12;
const longestPauseMs = 15_000;

const task = JSON.parse(process.env['WINDLASS_ARTIFACTS'] ?? '{}') as HelperTask;
process.umask(0);
const message = await withRetries(() => (task.do === 'fetch' ? fetchAll(task) : collectAll(task)));
await writeFile('/dev/termination-log', JSON.stringify(message));
process.exitCode = 'error' in message ? 1 : 0;

async function withRetries(act: () => Promise<HelperMessage>): Promise<HelperMessage> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await act();
    } catch (error) {
      const why = describe(error);
      process.stderr.write(`${why}\n`);
      if (attempt === tries) {
        return {
          error: { type: 'infrastructure/artifacts', message: `artifacts cannot be reached: ${why}`.slice(0, 1000) },
        };
      }
      await delay(Math.min(longestPauseMs, 250 * 2 ** attempt));
    }
  }
}

async function fetchAll({
  url,
  token,
  work,
  files,
  prepared,
  ...given
}: Extract<HelperTask, { do: 'fetch' }>): Promise<HelperMessage> {
  await mkdir(work, { recursive: true });
  await copyFiles(files, work);
  const error = await bring({ store: remoteStore(url, token), maxBytes: 0 }, work, given.in);
  if (error) return { error };
  await openToAll(work);
  await writeFile(prepared, '');
  return { kept: [] };
}

async function collectAll({
  url,
  token,
  work,
  maxBytes,
  out,
}: Extract<HelperTask, { do: 'collect' }>): Promise<HelperMessage> {
  const kept = await keep({ store: remoteStore(url, token), maxBytes }, work, out);
  if ('error' in kept) return { error: kept.error };
  return {
    kept: Object.values(kept.artifacts).map(({ digest, bytes, folder, executable }) => [
      Buffer.from(digest.slice('sha256:'.length), 'hex').toString('base64url'),
      bytes,
      folder ? 1 : executable ? 2 : 0,
    ]),
  };
}

/** The version's files first, as on a laptop: what the step takes from others goes over them. */
async function copyFiles(from: string, to: string): Promise<void> {
  // Of a ConfigMap this is where its files are; all else are links to it.
  const data = await realpath(join(from, '..data')).catch(() => null);
  if (data !== null) await cp(data, to, { recursive: true });
}

/** The step may run as another user than this; its Pod is nobody else's. */
async function openToAll(root: string): Promise<void> {
  for (const entry of await readdir(root, { withFileTypes: true, recursive: true })) {
    const path = join(entry.parentPath, entry.name);
    await chmod(path, (await stat(path)).mode | (entry.isDirectory() ? 0o777 : 0o666));
  }
}

/** The controller's own store, over HTTP. The token is read each time: the kubelet renews it. */
function remoteStore(url: string, token: string): Pick<ArtifactStore, 'get' | 'put'> {
  const headers = async () => ({ authorization: `Bearer ${(await readFile(token, 'utf8')).trim()}` });
  return {
    async get(digest) {
      const answer = await fetch(new URL(`/pod/v1/artifacts/${digest}`, url), { headers: await headers() });
      if (answer.status === 404) return null;
      if (!answer.ok || !answer.body) throw new Error(`${answer.status}: ${await answer.text()}`);
      return { content: Readable.fromWeb(answer.body as never), bytes: Number(answer.headers.get('content-length')) };
    },
    async put(content, maxBytes) {
      let bytes = 0;
      // Counted here, too: a server that refuses in the middle of a body is not always heard.
      const counted = new Transform({
        transform(chunk: Buffer, _, done) {
          bytes += chunk.byteLength;
          if (bytes > maxBytes) done(new ArtifactTooLarge(`it has more than ${maxBytes} bytes`));
          else done(null, chunk);
        },
      });
      let failed: unknown = null;
      content.on('error', (error) => counted.destroy(error));
      counted.on('error', (error) => (failed ??= error));
      const answer = await fetch(new URL('/pod/v1/artifacts', url), {
        method: 'PUT',
        headers: { ...(await headers()), 'content-type': 'application/octet-stream' },
        body: Readable.toWeb(content.pipe(counted)) as ReadableStream,
        duplex: 'half',
      } as RequestInit).catch((error: unknown) => {
        throw failed ?? error;
      });
      if (answer.status === 413) throw new ArtifactTooLarge(await answer.text());
      if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`);
      return (await answer.json()) as StoredArtifact;
    },
  };
}

function describe(error: unknown): string {
  const { message, cause } = error as Error;
  return cause instanceof Error ? `${message}: ${cause.message || (cause as NodeJS.ErrnoException).code}` : message;
}
