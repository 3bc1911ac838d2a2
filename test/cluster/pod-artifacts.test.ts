import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { Hono } from 'hono';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Listening, listen } from '../../api/listen.ts';
import { podArtifactRoutes } from '../../api/pod-artifacts.ts';
import { createArtifactDirectory } from '../../controller/artifacts/directory.ts';
import { createS3Artifacts } from '../../controller/artifacts/s3.ts';
import type { ArtifactRef, AttemptResult } from '../../controller/core/run/types.ts';
import { createPodIdentities } from '../../controller/executors/pod/identity.ts';
import { KubernetesClient } from '../../controller/kubernetes/client.ts';
import { systemClock } from '../../controller/runtime/clock.ts';
import type { ArtifactStore } from '../../controller/seams/artifacts.ts';
import type { StartAction } from '../../controller/seams/executor.ts';
import { openStore } from '../../controller/store/open.ts';
import type { Store } from '../../controller/store/types.ts';
import { RecordingSink, startAction, stopAction } from '../conformance/executor.ts';
import { runRow, stepRow, transition } from '../fixtures/history.ts';
import { findCluster } from '../fixtures/kubernetes.ts';
import { nodesOf, PodWorld } from '../fixtures/pod-world.ts';
import { startS3Server } from '../fixtures/s3-server.ts';

const cluster = process.env['KUBECONFIG'] ? await findCluster() : null;
const nodes = await nodesOf(cluster);
const image = 'windlass-test/helper:dev';
const maxBytes = 2 * 1024 * 1024;

test.skipIf(nodes === 'kubelet')('needs a cluster with a kubelet: set KUBECONFIG', ({ skip }) => skip());

describe.skipIf(nodes !== 'kubelet')('artifacts of steps as Pods', { timeout: 60_000 }, () => {
  const worlds: PodWorld[] = [];
  let directory: string;
  let history: Store;
  let artifacts: ArtifactStore;
  let server: Listening;
  let s3: Awaited<ReturnType<typeof startS3Server>>;
  /** What the controller does with the next requests of Pods, when not what it should. */
  let failing = 0;

  beforeAll(async () => {
    if (!cluster) return;
    await promisify(execFile)(join(import.meta.dirname, 'image'), [image]);
    directory = await mkdtemp(join(tmpdir(), 'windlass-pod-artifacts-'));
    history = await openStore({ dataDir: directory }, { clock: systemClock, home: 'test' });
    s3 = await startS3Server();
    artifacts = s3
      ? createS3Artifacts({ ...s3.bucket, prefix: '', spools: join(directory, 'spools'), clock: systemClock, maxBytes })
      : createArtifactDirectory(join(directory, 'kept'), systemClock);
    const app = new Hono();
    app.use(async (c, next) => (failing-- > 0 ? c.text('not now', 503) : next()));
    const identify = createPodIdentities(new KubernetesClient(cluster.kubeConfig), systemClock);
    podArtifactRoutes(app, { store: history, podArtifacts: { store: artifacts, maxBytes, identify }, log: silent });
    server = await listen(app, { host: '0.0.0.0', port: 0 });
  }, 300_000);
  afterEach(async () => {
    failing = 0;
    for (const world of worlds.splice(0)) await world.dispose();
  });
  afterAll(async () => {
    await server?.close();
    await history?.close();
    await s3?.stop();
    if (directory) await rm(directory, { recursive: true, force: true });
  });

  async function ready(labels: Record<string, string> = {}) {
    if (!cluster) throw new Error('there is no cluster');
    const sink = new RecordingSink();
    const world = await PodWorld.create(cluster, sink, labels);
    worlds.push(world);
    const url = `http://host.cluster.internal:${new URL(server.url).port}`;
    const make = () => world.executor({ artifacts: { image, url, maxBytes } });
    const executor = make();
    /** The action as one of a run that history knows, whose step `made` has kept these. */
    const owned = async (
      script: string,
      wants: Partial<StartAction['artifacts']>,
      kept: Record<string, ArtifactRef> = {},
    ) => {
      const action = await world.owned({
        ...startAction(world.script(script)),
        artifacts: { out: {}, in: {}, ...wants },
      });
      const run = runRow(action.key.runId, { namespace: world.namespace, name: action.runName });
      await history.runs.create(run);
      const claim = (await history.runs.claim(200)).find(({ id }) => id === run.id);
      const steps = [stepRow(run.id, 'made', { artifacts: kept })];
      await history.runs.commit(transition(run, { steps }), claim?.fence ?? 0);
      return action;
    };
    const run = async (...args: Parameters<typeof owned>): Promise<AttemptResult> => {
      const action = await owned(...args);
      await executor.start(action);
      return sink.end(action.key);
    };
    return { sink, world, executor, make, owned, run };
  }

  async function content({ digest }: ArtifactRef): Promise<string> {
    const found = await artifacts.get(digest);
    return found === null ? 'nothing' : text(found.content);
  }

  function keptOf(result: AttemptResult): Record<string, ArtifactRef> {
    if (result.outcome !== 'Succeeded') throw new Error(JSON.stringify(result));
    return result.artifacts ?? {};
  }

  test('what one leaves another finds, beside its files and outputs', async () => {
    const { run, world } = await ready();
    world.files.set('given/by.txt', Buffer.from('given'));
    const made = await run(
      'mkdir -p d/e; printf x > d/e/f; chmod 755 d/e/f; printf 1 > n; echo a=b >> "$WINDLASS_OUTPUT"',
      {
        out: { folder: 'd', number: 'n', file: 'given/by.txt' },
      },
    );
    expect(made, JSON.stringify(made)).toMatchObject({ outcome: 'Succeeded', outputs: { text: 'a=b\n' } });
    const kept = keptOf(made);
    expect(kept).toMatchObject({ folder: { folder: true }, number: { bytes: 1, folder: false }, file: { bytes: 5 } });
    expect(await content(kept['number'] as ArtifactRef)).toBe('1');
    const { folder, number } = kept as { folder: ArtifactRef; number: ArtifactRef };
    const script = 'cat given/by.txt in/number all/e/f > seen; test -x all/e/f; printf more >> in/number; cat seen';
    const next = await run(script, { in: { 'in/number': number, all: folder }, out: { seen: 'seen' } }, kept);
    expect(await content(keptOf(next)['seen'] as ArtifactRef)).toBe('given1x');
  });

  test('in a namespace that demands restricted Pods', async () => {
    const { run } = await ready({ 'pod-security.kubernetes.io/enforce': 'restricted' });
    const kept = keptOf(await run('umask 077; printf 1 > n', { out: { n: 'n' } }));
    const next = await run('cat n', { in: { n: kept['n'] as ArtifactRef } }, kept);
    expect(next).toMatchObject({ outcome: 'Succeeded' });
  });

  test.each([
    ['nothing is there', 'true', 'left nothing at report.txt: write it there'],
    ['it is too large', `head -c ${maxBytes + 1} /dev/zero > report.txt`, 'larger than 2 MiB'],
    ['it leads elsewhere', 'ln -s /windlass-token/token report.txt', /outside of the work directory|left nothing/],
  ])('a step fails when what it is to leave cannot be kept: %s', async (_, script, message) => {
    const { run } = await ready();
    const result = await run(script, { out: { report: 'report.txt' } });
    expect(result).toMatchObject({ outcome: 'Failed', error: { type: 'output', retryable: false } });
    expect((result as { error: { message: string } }).error.message).toMatch(message);
  });

  test('a step that fails keeps nothing, and says how it failed', async () => {
    const { run } = await ready();
    expect(await run('printf 1 > n; echo oh no; exit 3', { out: { n: 'n' } })).toMatchObject({
      outcome: 'Failed',
      error: { type: 'exit', exitCode: 3, message: 'exit code 3: oh no' },
    });
  });

  test('what is no longer kept, and what is another run’s, fails the step before it begins', async () => {
    const { run, sink } = await ready();
    const kept = keptOf(await run('printf mine > n', { out: { n: 'n' } }));
    const stolen = await run('cat n', { in: { n: kept['n'] as ArtifactRef } });
    expect(stolen).toMatchObject({ outcome: 'Failed', error: { type: 'artifact', retryable: false } });
    await artifacts.delete([(kept['n'] as ArtifactRef).digest]);
    const gone = await run('cat n', { in: { n: kept['n'] as ArtifactRef } }, kept);
    expect((gone as { error: { message: string } }).error.message).toContain('n is no longer kept');
    expect(sink.chunks).toEqual([]);
  });

  test('a controller that is away for a moment is waited for', async () => {
    const { run } = await ready();
    failing = 2;
    const kept = keptOf(await run('printf 1 > n', { out: { n: 'n' } }));
    expect(kept).toMatchObject({ n: { bytes: 1 } });
  });

  test('the next executor takes over while it is collected', async () => {
    const { owned, executor, make, sink, world } = await ready();
    const action = await owned('echo done; printf 1 > n', { out: { n: 'n' } });
    failing = 4;
    await executor.start(action);
    await world.pod(
      (pod) => pod.status?.initContainerStatuses?.some((c) => c.state?.terminated !== undefined) ?? false,
    );
    await executor.close();
    expect(sink.ends).toEqual([]);
    await make().start({ ...action, startedAt: 0 });
    expect(keptOf(await sink.end(action.key))).toMatchObject({ n: { bytes: 1 } });
    expect(sink.text(action.key)).toBe('done\n');
  });

  test('stopped while it is collected, it is Stopped', async () => {
    const { owned, executor, sink, world } = await ready();
    const action = await owned('printf 1 > n', { out: { n: 'n' } });
    failing = 1000;
    await executor.start(action);
    await world.pod((pod) => pod.status?.containerStatuses?.some((c) => c.state?.running !== undefined) ?? false);
    await executor.stop(stopAction(action, 0));
    expect(await sink.end(action.key)).toEqual({ outcome: 'Stopped' });
  });

  test('a token of something else is nobody’s', async () => {
    const url = new URL('/pod/v1/artifacts', server.url);
    url.hostname = '127.0.0.1';
    for (const headers of [{}, { authorization: 'Bearer nonsense' }]) {
      expect((await fetch(url, { method: 'PUT', body: 'x', headers })).status).toBe(401);
    }
  });
});

const silent = { error: () => {}, warn: () => {} };
