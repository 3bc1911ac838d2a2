import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../controller/runtime/clock.ts';
import { openStore } from '../../controller/store/open.ts';
import type { Store } from '../../controller/store/types.ts';
import { startEngine } from '../bench/engine.ts';
import { startPostgres } from '../fixtures/postgres.ts';

const server = await startPostgres();
afterAll(() => server?.stop());

const skipped = server ? '' : ' (skipped: no initdb and pg_ctl, or no user `postgres`, on this machine)';

/** A web server whose answers the test gives. */
async function startSite() {
  const requests: { key: unknown; answer: ServerResponse; closed: Promise<unknown> }[] = [];
  let arrived = Promise.withResolvers<void>();
  const site = createServer((request: IncomingMessage, answer) => {
    requests.push({ key: request.headers['idempotency-key'], answer, closed: once(answer, 'close') });
    arrived.resolve();
    arrived = Promise.withResolvers<void>();
  });
  site.listen(0, '127.0.0.1');
  await once(site, 'listening');
  return {
    url: `http://127.0.0.1:${(site.address() as AddressInfo).port}/`,
    requests,
    async request(number: number) {
      while (requests.length < number) await arrived.promise;
      return requests[number - 1] as (typeof requests)[number];
    },
    close: () => {
      site.closeAllConnections();
      site.close();
    },
  };
}

describe.runIf(server)(`a replica that stalls for longer than its lease${skipped}`, () => {
  let databases = 0;
  let databaseUrl: string;
  let store: Store;
  let child: ChildProcess;
  let site: Awaited<ReturnType<typeof startSite>>;

  beforeEach(async () => {
    site = await startSite();
    databaseUrl = (await server?.database(`stalled_${++databases}`)) ?? '';
    const script = fileURLToPath(new URL('../fixtures/engine-process.ts', import.meta.url));
    child = spawn(process.execPath, [script, databaseUrl], { stdio: ['pipe', 'pipe', 'inherit'] });
    await once(child.stdout as NodeJS.ReadableStream, 'data');
    store = await openStore({ databaseUrl }, { clock: systemClock, home: 'bench' });
    await store.objects.apply({
      kind: 'Workflow',
      metadata: { name: 'call', namespace: 'bench' },
      spec: { steps: [{ name: 'call', http: { url: site.url } }] },
    });
  }, 60_000);
  afterEach(async () => {
    child.kill('SIGKILL');
    site.close();
    await store.close();
  });

  /** Creates a run; resolves with its phase once it has ended. */
  async function run(name: string): Promise<{ ended: Promise<string | undefined> }> {
    const ended = Promise.withResolvers<string | undefined>();
    await store.objects.watch('WorkflowRun', ({ object }) => {
      const over = object.status?.conditions?.some((c) => c.type === 'Finished' && c.status === 'True');
      if (over && object.metadata.name === name) ended.resolve(object.status?.phase);
    });
    await store.objects.create({
      kind: 'WorkflowRun',
      metadata: { name, namespace: 'bench' },
      spec: { workflow: 'call' },
    });
    return { ended: ended.promise };
  }

  test('drops its runs, which another ends; woken, it aborts what it did and runs what comes next', async () => {
    const first = await run('first');
    const stalled = await site.request(1);
    const other = await startEngine(databaseUrl);
    child.kill('SIGSTOP');
    const taken = await site.request(2);
    expect(taken.key).toBe(stalled.key);
    child.kill('SIGCONT');
    await stalled.closed;
    taken.answer.end('ok');
    expect(await first.ended).toBe('Succeeded');
    await other.stop();

    const second = await run('second');
    (await site.request(3)).answer.end('ok');
    expect(await second.ended).toBe('Succeeded');
    expect(site.requests).toHaveLength(3);
  }, 60_000);

  test('alone, it takes its own runs up again', async () => {
    const only = await run('only');
    const stalled = await site.request(1);
    expect(store.isLeader()).toBe(false);
    const leads = new Promise((resolve) => store.onLeadership(resolve));
    child.kill('SIGSTOP');
    // Over by the database's clock.
    await leads;
    child.kill('SIGCONT');
    await stalled.closed;
    (await site.request(2)).answer.end('ok');
    expect(await only.ended).toBe('Succeeded');
  }, 60_000);
});
