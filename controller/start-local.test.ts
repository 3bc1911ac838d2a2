import { access, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as tick } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createVirtualClock } from '../test/fixtures/clock.ts';
import { type LocalRunOptions, runLocally } from './start-local.ts';
import { readWorkingCopy } from './working-copy.ts';

/** Stops the process that hands on how the launcher (who is in `pid`) ends: then nobody hears of it. Once it is seen to run. */
const unheard = (go: string) => `
  echo began
  until [ -e '${go}' ]; do sleep 0.05; done
  read -r launcher _ <../pid
  spawner=$(ps -o ppid= -p "$launcher" 2>/dev/null || cut -d ' ' -f 4 "/proc/$launcher/stat")
  kill -STOP $spawner
  echo stopped $spawner.
  sleep 1000`;

let root = '';

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'windlass-local-'));
});

afterAll(async () => {
  await rm(root, { recursive: true, force: true });
});

test('an attempt whose end is never heard of is named, and the run ends without it', async () => {
  const clock = createVirtualClock();
  const { cancel, end } = { cancel: new AbortController(), end: new AbortController() };
  const go = join(root, 'go');
  let printed = '';
  const left: Parameters<LocalRunOptions['onLeft']>[] = [];
  let returned = false;
  const running = runLocally({
    ...(await readWorkflow({ steps: [{ name: 'stuck', run: unheard(go) }] })),
    namespace: 'default',
    inputs: {},
    values: {},
    approve: false,
    secretsDirectory: join(root, 'secrets'),
    env: { PATH: process.env['PATH'] },
    clock,
    onChange() {},
    onOutput: (_, __, text) => {
      printed += text;
    },
    cancel: cancel.signal,
    end: end.signal,
    onLeft: (...what) => left.push(what),
  }).finally(() => {
    returned = true;
  });
  const turnUntil = async (isSo: () => boolean, stepMs: number) => {
    for (; !isSo(); clock.advance(stepMs)) await tick(5);
  };
  // No faster than real processes begin.
  await turnUntil(() => printed.includes('began'), 5);
  await writeFile(go, '');
  await turnUntil(() => /stopped \d+\./.test(printed), 5);
  const spawner = Number(/stopped (\d+)\./.exec(printed)?.[1]);
  try {
    cancel.abort();
    end.abort();
    const from = clock.now();
    await turnUntil(() => returned, 100);
    expect(clock.now() - from).toBeLessThan(6000);
    expect((await running).run.phase).toBe('Running');
    const directory = left[0]?.[1] ?? '';
    expect(left).toEqual([[[{ unit: 'stuck', attempt: 1 }], expect.stringContaining('windlass-run-')]]);
    await access(directory);
    await rm(directory, { recursive: true });
  } finally {
    process.kill(spawner, 'SIGKILL');
  }
});

async function readWorkflow(spec: object): Promise<Pick<LocalRunOptions, 'snapshot' | 'blobs'>> {
  const file = join(root, 'workflow.yaml');
  const workflow = { apiVersion: 'windlass.dev/v1alpha1', kind: 'Workflow', metadata: { name: 'local' }, spec };
  await writeFile(file, JSON.stringify(workflow));
  const { snapshots, blobs } = await readWorkingCopy(file, { cwd: root, path: 'workflows' });
  const [snapshot] = snapshots;
  if (snapshot === undefined) throw new Error('there is no workflow in it');
  return { snapshot, blobs };
}
