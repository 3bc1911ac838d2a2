import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { afterAll, describe, expect, test } from 'vitest';
import { describeArtifactStore } from '../../test/conformance/artifacts.ts';
import { createVirtualClock } from '../../test/fixtures/clock.ts';
import { startS3Server } from '../../test/fixtures/s3-server.ts';
import { systemClock } from '../runtime/clock.ts';
import { createS3Artifacts, type S3Options } from './s3.ts';

const mebibyte = 1024 * 1024;
const partBytes = 5 * mebibyte;

const spools = await mkdtemp(join(tmpdir(), 'windlass-spools-'));
const server = await startS3Server();
afterAll(async () => {
  await server?.stop();
  await rm(spools, { recursive: true, force: true });
});

function options(more: Partial<S3Options> = {}): S3Options {
  if (server === null) throw new Error('there is no server');
  return { ...server.bucket, prefix: 'team/', spools, clock: systemClock, maxBytes: 64 * mebibyte, partBytes, ...more };
}

describe.skipIf(server === null)('a bucket', () => {
  describeArtifactStore('S3', () => createS3Artifacts(options()), 12 * mebibyte);

  test('objects are named by their digest below the prefix, and nothing stays on this machine', async () => {
    const store = createS3Artifacts(options({ prefix: 'named/' }));
    const { digest } = await store.put(Readable.from([Buffer.from('hello')]), 10);
    expect(await readdir(join(server?.directory ?? '', 'named', 'sha256'))).toEqual([digest.slice('sha256:'.length)]);
    expect(await readdir(spools)).toEqual([]);
  });

  test('who sends nothing keeps its room from others for two minutes, and leaves nothing', async () => {
    const clock = createVirtualClock();
    const folder = join(spools, 'silent');
    const store = createS3Artifacts(options({ clock, spools: folder }));
    const silent = store.put(new PassThrough(), 10).then(
      () => 'kept',
      (error: Error) => error.message,
    );
    await expect.poll(() => clock.pending()).toBe(1);
    clock.advance(120_000);
    expect(await silent).toContain('nothing of it came');
    expect(await readdir(folder)).toEqual([]);
  });

  test.each([
    [
      'a wrong secret',
      { credentials: { accessKeyId: 'windlass', secretAccessKey: 'no', sessionToken: null } },
      'SignatureDoesNotMatch',
    ],
    [
      'an unknown key',
      { credentials: { accessKeyId: 'who', secretAccessKey: 'no', sessionToken: null } },
      /InvalidAccessKeyId|UserNotFound/,
    ],
    ['a bucket that is not there', { bucket: 'nowhere' }, 'NoSuchBucket'],
  ])('%s is told by the server’s own word, never taken for “not there”', async (_, wrong, code) => {
    const store = createS3Artifacts(options(wrong));
    await expect(store.get(`sha256:${'0'.repeat(64)}`)).rejects.toThrow(code);
    await expect(store.put(Readable.from([Buffer.from('x')]), 10)).rejects.toThrow(
      /NoSuchBucket|SignatureDoesNotMatch|UserNotFound|InvalidAccessKeyId|HTTP 4/,
    );
  });
});

/** Stands before the server and may spoil an answer. */
async function proxy(
  spoil: (message: IncomingMessage) => { status: number; body: string } | 'cut' | null,
  losesAnswer: (message: IncomingMessage) => boolean = () => false,
): Promise<{ endpoint: string; server: Server }> {
  const target = new URL(server?.bucket.endpoint ?? '');
  const made = createServer((incoming, outgoing) => {
    const wrong = spoil(incoming);
    if (wrong === 'cut') {
      incoming.socket.destroy();
      return;
    }
    if (wrong) {
      incoming.resume();
      outgoing.writeHead(wrong.status, { 'content-type': 'application/xml' }).end(wrong.body);
      return;
    }
    const { method, url, headers } = incoming;
    // The signature is over the name that the client spoke to.
    const onward = request({ host: target.hostname, port: target.port, method, path: url, headers }, (answer) => {
      if (losesAnswer(incoming)) {
        incoming.socket.destroy();
        return;
      }
      outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(outgoing);
    });
    incoming.pipe(onward);
  });
  await new Promise<void>((resolve) => made.listen(0, '127.0.0.1', resolve));
  return { endpoint: `http://127.0.0.1:${(made.address() as { port: number }).port}`, server: made };
}

describe.skipIf(server === null)('a bucket that is not always well', () => {
  const cleanups: Server[] = [];
  afterAll(() => {
    for (const one of cleanups) one.close();
  });

  const busy = '<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>';

  test.each([
    ['says to slow down', { status: 503, body: busy }],
    ['drops the connection', 'cut' as const],
    ['answers by a proxy in between', { status: 502, body: '<html>Bad Gateway</html>' }],
  ])('one that %s is asked again, in every kind of request', async (_, wrong) => {
    const seen = new Set<string>();
    const { endpoint, server: made } = await proxy(({ method, url }) => {
      const first = !seen.has(`${method} ${url}`);
      seen.add(`${method} ${url}`);
      return first ? wrong : null;
    });
    cleanups.push(made);
    const store = createS3Artifacts(options({ endpoint }));
    const bytes = randomBytes(11 * mebibyte);
    const { digest } = await store.put(Readable.from([bytes]), bytes.byteLength);
    const found = await store.get(digest);
    expect(Buffer.concat((await found?.content.toArray()) ?? []).equals(bytes)).toBe(true);
    await store.delete([digest]);
    expect(seen.size).toBeGreaterThanOrEqual(8);
  });

  test('an upload that fails at its end, after 200, is no success and is given up', async () => {
    const seen: string[] = [];
    const { endpoint, server: made } = await proxy(({ method, url = '' }) => {
      seen.push(`${method} ${url.split('?')[1] ?? ''}`);
      if (method !== 'POST' || !url.includes('uploadId')) return null;
      return { status: 200, body: '<Error><Code>InvalidPart</Code><Message>no such part</Message></Error>' };
    });
    cleanups.push(made);
    const store = createS3Artifacts(options({ endpoint }));
    const bytes = randomBytes(6 * mebibyte);
    await expect(store.put(Readable.from([bytes]), bytes.byteLength)).rejects.toThrow('InvalidPart');
    expect(seen.at(-1)).toMatch(/^DELETE uploadId=/);
  });

  test('an answer that is lost at the end of an upload is no failure: the object is there', async () => {
    let lost = 0;
    const completes = ({ method, url = '' }: IncomingMessage) => method === 'POST' && url.includes('uploadId');
    // Some servers know an upload for a while after its end, others forget it at once.
    const forgotten = { status: 404, body: '<Error><Code>NoSuchUpload</Code></Error>' };
    const { endpoint, server: made } = await proxy(
      (message) => (completes(message) && lost > 0 ? forgotten : null),
      (message) => completes(message) && lost++ === 0,
    );
    cleanups.push(made);
    const store = createS3Artifacts(options({ endpoint }));
    const bytes = randomBytes(6 * mebibyte);
    const { digest } = await store.put(Readable.from([bytes]), bytes.byteLength);
    expect(lost).toBe(1);
    expect((await store.get(digest))?.bytes).toBe(bytes.byteLength);
  });

  test('one that stays away is an error that says so', async () => {
    const { endpoint, server: made } = await proxy(() => 'cut');
    cleanups.push(made);
    const store = createS3Artifacts(options({ endpoint }));
    await expect(store.get(`sha256:${'0'.repeat(64)}`)).rejects.toThrow(/socket|closed|reset/i);
  });
});
