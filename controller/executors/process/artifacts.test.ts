import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { RecordingSink, startAction, stopAction } from '../../../test/conformance/executor.ts';
import { ProcessWorld } from '../../../test/fixtures/process-world.ts';
import type { ArtifactRef, AttemptResult } from '../../core/run/types.ts';
import type { StartAction } from '../../seams/executor.ts';

let sink: RecordingSink;
let world: ProcessWorld;
let controllers: ChildProcess[];

beforeEach(async () => {
  sink = new RecordingSink();
  world = await ProcessWorld.create(sink);
  controllers = [];
  execFileSync('sh', ['-c', 'mkfifo "$0"', join(world.directory, 'go')]);
});
afterEach(async () => {
  for (const controller of controllers) controller.kill('SIGKILL');
  await world.dispose();
});

function step(script: string, artifacts: Partial<StartAction['artifacts']>): StartAction {
  return { ...startAction(world.script(script)), artifacts: { out: {}, in: {}, ...artifacts } };
}

async function run(action: StartAction) {
  await world.executor().start(action);
  return sink.end(action.key);
}

async function kept(script: string, out: Record<string, string>): Promise<Record<string, ArtifactRef>> {
  return artifactsOf(await run(step(script, { out })));
}

function artifactsOf(result: AttemptResult): Record<string, ArtifactRef> {
  if (result.outcome !== 'Succeeded') throw new Error(JSON.stringify(result));
  return result.artifacts ?? {};
}

async function content({ digest }: ArtifactRef): Promise<string> {
  const found = await world.artifacts.get(digest);
  return found === null ? 'nothing' : text(found.content);
}

test('what a step leaves is kept by name, and the next one finds it where it asked for it', async () => {
  const made = await kept('printf 1 > n; mkdir -p d/e; printf x > d/e/f; echo a=b >> $WINDLASS_OUTPUT', {
    number: 'n',
    folder: 'd',
  });
  expect(made).toMatchObject({ number: { bytes: 1, folder: false }, folder: { folder: true } });
  expect(await content(made['number'] as ArtifactRef)).toBe('1');
  const { number, folder } = made as { number: ArtifactRef; folder: ArtifactRef };
  world.files.set('given.txt', Buffer.from('given'));
  const next = await kept('cat given.txt in/number in/all/e/f > seen', { seen: 'seen' }).catch(() => null);
  expect(next).toBeNull();
  const action = step('cat given.txt in/number in/all/e/f > seen', {
    in: { 'in/number': number, 'in/all': folder },
    out: { seen: 'seen' },
  });
  const result = await run(action);
  expect(result).toMatchObject({ outcome: 'Succeeded', artifacts: { seen: { bytes: 7 } } });
  expect(await content(artifactsOf(result)['seen'] as ArtifactRef)).toBe('given1x');
});

test('a program is still one for the step that takes it, and a text is none', async () => {
  const made = await kept("printf '#!/bin/sh\\necho ran' > tool; chmod 750 tool; printf x > text", {
    tool: 'tool',
    text: 'text',
  });
  expect(made).toMatchObject({ tool: { folder: false, executable: true }, text: { folder: false } });
  expect(made['text']).not.toHaveProperty('executable');
  const { tool, text: plain } = made as { tool: ArtifactRef; text: ArtifactRef };
  const action = step('test "$(./bin/tool)" = ran; test ! -x plain', { in: { 'bin/tool': tool, plain } });
  expect(await run(action)).toMatchObject({ outcome: 'Succeeded' });
});

test('it is the step’s own: changed by it, the artifact stays as it was', async () => {
  const { n } = (await kept('printf 1 > n', { n: 'n' })) as { n: ArtifactRef };
  expect(await run(step('printf changed > n', { in: { n } }))).toMatchObject({ outcome: 'Succeeded' });
  expect(await content(n)).toBe('1');
});

test.each([
  ['nothing is at the path', 'true', 'left nothing at report.txt: write it there'],
  ['it is too large', 'head -c 1048577 /dev/zero > report.txt', 'larger than 1 MiB, the controller'],
  ['it leads elsewhere', 'ln -s /etc/passwd report.txt', 'outside of the work directory'],
])('the step fails when what it is to leave cannot be kept: %s', async (_, script, message) => {
  const result = await run(step(script, { out: { report: 'report.txt' } }));
  expect(result).toMatchObject({ outcome: 'Failed', error: { type: 'output', retryable: false } });
  expect((result as { error: { message: string } }).error.message).toContain(message);
  expect((result as { error: { message: string } }).error.message).toContain('artifact report cannot be kept');
});

test('exactly as large as is allowed is kept', async () => {
  expect(await kept('head -c 1048576 /dev/zero > z', { z: 'z' })).toMatchObject({ z: { bytes: 1_048_576 } });
});

test('a step that fails keeps nothing', async () => {
  const result = await run(step('printf 1 > n; exit 3', { out: { n: 'n' } }));
  expect(result).toMatchObject({ outcome: 'Failed', error: { type: 'exit', exitCode: 3 } });
  expect(await readdir(join(world.directory, 'artifacts')).catch(() => [])).toEqual([]);
});

test('what is no longer kept fails the step that needs it, before its script begins', async () => {
  const { n } = (await kept('printf 1 > n', { n: 'n' })) as { n: ArtifactRef };
  await world.artifacts.delete([n.digest]);
  const result = await run(step(`touch '${world.directory}/begun'`, { in: { 'in/n': n } }));
  expect(result).toMatchObject({ outcome: 'Failed', error: { type: 'artifact', retryable: false } });
  expect((result as { error: { message: string } }).error.message).toContain('in/n is no longer kept');
  expect(await readdir(world.directory)).not.toContain('begun');
});

test('a store that is away is tried again: before the script nothing has begun, after it nothing is lost', async () => {
  const { n } = (await kept('printf 1 > n', { n: 'n' })) as { n: ArtifactRef };
  let away = true;
  const troubled: unknown[] = [];
  const store = {
    get: async (digest: string) => {
      if (away) throw new Error('the store is away');
      return world.artifacts.get(digest);
    },
    put: async (stream: Readable, most: number) => {
      if (away) throw new Error('the store is away');
      return world.artifacts.put(stream, most);
    },
  };
  const executor = world.executor({
    artifacts: { store, maxBytes: 1e6 },
    troubled: (_, error) => {
      troubled.push(error);
      away = false;
    },
  });
  const action = step(`echo once >> '${world.directory}/begun'; printf 2 > m`, { in: { n }, out: { m: 'm' } });
  await expect(executor.start(action)).rejects.toThrow('the store is away');
  away = false;
  await executor.start(action);
  away = true;
  expect(await sink.end(action.key)).toMatchObject({ outcome: 'Succeeded', artifacts: { m: { bytes: 1 } } });
  expect(troubled).toEqual([new Error('the store is away')]);
  expect(await world.lines('begun')).toEqual(['once']);
});

/** Starts the attempt in a controller of its own, and kills that with SIGKILL in the middle of the step. */
async function startAndLoseController(action: StartAction): Promise<void> {
  const script = new URL('../../../test/fixtures/doomed-controller.ts', import.meta.url).pathname;
  const controller = spawn(process.execPath, [script, world.root, JSON.stringify(action)], { stdio: 'inherit' });
  controllers.push(controller);
  await world.fileAppears('begun');
  controller.kill('SIGKILL');
  await once(controller, 'exit');
}

test.each(['starts it again', 'is told to stop it'])(
  'the controller after one that was killed, which %s, keeps what the step leaves',
  async (how) => {
    const { directory } = world;
    const action = step(`echo begun >> '${directory}/begun'; read -r _ < '${directory}/go'; printf late > n`, {
      out: { n: 'n' },
    });
    await startAndLoseController(action);
    await writeFile(join(directory, 'go'), 'go\n');
    if (how === 'starts it again') await world.executor().start(action);
    else {
      await world.fileAppears('attempts');
      while (!(await ended())) await new Promise((resolve) => setTimeout(resolve, 10));
      await world.executor().stop(stopAction(action, 0));
    }
    const result = await sink.end(action.key);
    expect(result).toMatchObject({ outcome: 'Succeeded', artifacts: { n: { bytes: 4, folder: false } } });
    expect(await content(artifactsOf(result)['n'] as ArtifactRef)).toBe('late');
    expect(await world.lines('begun')).toEqual(['begun']);
  },
);

async function ended(): Promise<boolean> {
  const [hash = ''] = (await readdir(world.root)).filter((name) => /^[0-9a-f]{40}$/.test(name));
  return (await readdir(join(world.root, hash))).includes('exit.json');
}

test('said twice, it is the same artifact, and is kept once more when it was lost', async () => {
  const action = step('mkdir d; printf x > d/f', { out: { d: 'd' } });
  const first = await run(action);
  await rm(join(world.directory, 'artifacts'), { recursive: true });
  await world.executor().start(action);
  const second = await sink.end(action.key, 2);
  expect(second).toEqual(first);
  expect(await content(artifactsOf(second)['d'] as ArtifactRef)).toContain('f');
});
