import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, rename, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { RecordingSink, startAction, stopAction } from '../../../test/conformance/executor.ts';
import { createVirtualClock } from '../../../test/fixtures/clock.ts';
import { ProcessWorld } from '../../../test/fixtures/process-world.ts';
import type { AttemptKey } from '../../core/run/types.ts';
import type { StartAction } from '../../seams/executor.ts';
import { AttemptFolder, attemptHash } from './attempt-folder.ts';
import { Carriers, signal, startOf } from './processes.ts';

const lost = { outcome: 'Failed', error: { type: 'infrastructure/lost', retryable: true } };
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

function folderOf(action: StartAction): AttemptFolder {
  return new AttemptFolder(world.root, attemptHash(action.key));
}

/** A script that leaves one line a start, then waits until the test says `go`. */
function waiting(then: string, more = {}): StartAction {
  const directory = world.directory;
  return startAction(
    world.script(
      `echo printed before; echo begun >> '${directory}/begun'; read -r _ < '${directory}/go'; ${then}`,
      more,
    ),
  );
}

async function go(): Promise<void> {
  await writeFile(join(world.directory, 'go'), 'go\n');
}

/** Starts the attempt in a controller of its own, and kills that with SIGKILL in the middle of the step. */
async function startAndLoseController(action: StartAction): Promise<void> {
  const script = new URL('../../../test/fixtures/doomed-controller.ts', import.meta.url).pathname;
  const controller = spawn(process.execPath, [script, world.root, JSON.stringify(action)], { stdio: 'inherit' });
  controllers.push(controller);
  await world.fileAppears('begun');
  controller.kill('SIGKILL');
  await once(controller, 'exit');
}

async function launcherOf(action: StartAction): Promise<number> {
  const launcher = await folderOf(action).launcher();
  if (launcher.is !== 'known') throw new Error(`no launcher: ${launcher.is}`);
  return launcher.pid;
}

/** Kills everything of an attempt, as an out-of-memory killer or a reboot would, and awaits that it is gone. */
async function killAll(action: StartAction): Promise<void> {
  const carriers = new Carriers();
  for (;;) {
    const pids = await carriers.find(attemptHash(action.key));
    if (pids.length === 0) return;
    for (const pid of pids) signal(pid, 'SIGKILL');
  }
}

describe('a step outlives its controller', () => {
  test('the next one adopts it: it ran once, nothing of its log and outputs is missing', async () => {
    const action = waiting('echo printed after; echo answer=42 >> "$WINDLASS_OUTPUT"');
    await startAndLoseController(action);
    const next = world.executor();
    await next.start(action);
    await sink.until(() => sink.chunks.length > 0);
    await go();
    expect(await sink.end(action.key)).toEqual({ outcome: 'Succeeded', outputs: { text: 'answer=42\n' } });
    expect(sink.text(action.key)).toBe('printed before\nprinted after\n');
    expect(await world.lines('begun')).toEqual(['begun']);
  });

  test('it may end while there is none', async () => {
    const action = waiting('exit 4');
    await startAndLoseController(action);
    const pid = await launcherOf(action);
    await go();
    while ((await startOf(pid)) !== null) await new Promise(setImmediate);
    await world.executor().start(action);
    expect(await sink.end(action.key)).toMatchObject({ outcome: 'Failed', error: { type: 'exit', exitCode: 4 } });
    expect(await world.lines('begun')).toEqual(['begun']);
  });

  test('ended while there was none, it keeps its own end and instant, told to start or to stop', async () => {
    for (const [then, expected] of [
      ['echo answer=42 >> "$WINDLASS_OUTPUT"', { outcome: 'Succeeded', outputs: { text: 'answer=42\n' } }],
      ['exit 4', { outcome: 'Failed', error: { type: 'exit', exitCode: 4 } }],
    ] as const) {
      const action = waiting(then);
      await startAndLoseController(action);
      const pid = await launcherOf(action);
      await go();
      while ((await startOf(pid)) !== null) await new Promise(setImmediate);
      // Long ago: the machine was off since.
      await utimes(join(folderOf(action).path, 'exit.json'), 1_700_000_000, 1_700_000_000.5);
      const next = world.executor();
      await next.start(action);
      await sink.end(action.key);
      await next.stop(stopAction(action, 0));
      expect(await sink.end(action.key, 2)).toMatchObject(expected);
      expect(sink.endsOf(action.key)[0]).toMatchObject(expected);
      expect(sink.instantsOf(action.key)).toEqual([1_700_000_000_500, 1_700_000_000_500]);
      await rename(join(world.directory, 'begun'), join(world.directory, `begun-${expected.outcome}`));
    }
  });

  test('stopped by a controller that then died, its end is not taken for its own', async () => {
    const action = startAction(
      world.script('trap "echo cleaned; exit 0" TERM; echo > "$TMPDIR/begun"; while :; do sleep 0.01; done'),
    );
    const first = world.executor();
    await first.start(action);
    await world.fileAppears('begun');
    const pid = await launcherOf(action);
    await Promise.all([first.stop(stopAction(action, 60_000)), first.close()]);
    while ((await startOf(pid)) !== null) await new Promise(setImmediate);
    expect(sink.ends).toEqual([]);
    await world.executor().stop(stopAction(action, 0));
    expect(await sink.end(action.key)).toEqual({ outcome: 'Stopped' });
  });

  test('the next one can stop it, told to start it first or not', async () => {
    for (const first of ['start', 'stop']) {
      const action = waiting('exit 0');
      await startAndLoseController(action);
      const next = world.executor();
      if (first === 'start') await next.start(action);
      await next.stop(stopAction(action, 60_000));
      expect(await sink.end(action.key)).toEqual({ outcome: 'Stopped' });
      expect(await new Carriers().find(attemptHash(action.key))).toEqual([]);
      await rename(join(world.directory, 'begun'), join(world.directory, `begun-${first}`));
    }
  });

  test('secrets are hidden as they were when it began', async () => {
    world.secrets.set('api/token', 'changed-since');
    const action = waiting('echo "$TOKEN"', { secrets: { TOKEN: { name: 'api', key: 'token' } } });
    await startAndLoseController(action);
    await world.executor().start(action);
    await go();
    await sink.end(action.key);
    expect(sink.text(action.key)).toBe('printed before\n***\n');
  });

  test('a log that was stored in part goes on where it stopped', async () => {
    const action = waiting('echo printed after');
    await startAndLoseController(action);
    await sink.log.append(action.key, 0, Buffer.from('printed'));
    await world.executor().start(action);
    await go();
    await sink.end(action.key);
    expect(sink.text(action.key)).toBe('printed before\nprinted after\n');
    expect(sink.chunks.filter((c) => c.position === 0)).toHaveLength(1);
  });

  test('closing lets go of it, the next start adopts it', async () => {
    const action = waiting('exit 0');
    const first = world.executor();
    await first.start(action);
    await world.fileAppears('begun');
    await first.close();
    await world.executor().start(action);
    await go();
    expect(await sink.end(action.key)).toMatchObject({ outcome: 'Succeeded' });
    expect(sink.ends).toHaveLength(1);
    expect(await world.lines('begun')).toEqual(['begun']);
  });
});

describe('what a killed controller left behind', () => {
  test('is ended and removed unless its attempt is open; files of versions are, unless such an attempt has them', async () => {
    const [open, over, done] = [waiting('cat a.txt'), waiting(''), startAction(world.script(':'))];
    world.files.set('a.txt', Buffer.from('whole\n'));
    const before = world.executor();
    await before.start({ ...open, digest: 'sha256:of-the-open' });
    await world.fileAppears('begun');
    await before.start({ ...over, digest: 'sha256:of-the-over' });
    while ((await world.lines('begun')).length < 2) await new Promise(setImmediate);
    await before.start(done);
    await sink.end(done.key);
    await before.close();

    const next = world.executor();
    await next.sweep(async () => [open.key]);
    expect((await readdir(world.root)).toSorted()).toEqual([attemptHash(open.key), 'files'].toSorted());
    expect(await readdir(join(world.root, 'files'))).toEqual(['sha256-of-the-open']);
    expect(await new Carriers().find(attemptHash(over.key))).toEqual([]);
    await next.start({ ...open, digest: 'sha256:of-the-open' });
    await go();
    expect(await sink.end(open.key)).toMatchObject({ outcome: 'Succeeded' });
    expect(sink.text(open.key)).toBe('printed before\nwhole\n');
  });

  test('an attempt that begins while another controller sweeps is not touched', async () => {
    const action = waiting('exit 0');
    const [one, other] = [world.executor(), world.executor()];
    await one.sweep(async () => {
      const open: AttemptKey[] = [];
      await other.start(action);
      await world.fileAppears('begun');
      return open;
    });
    await go();
    expect(await sink.end(action.key)).toMatchObject({ outcome: 'Succeeded' });
  });

  test('files that were swept are made again on demand', async () => {
    world.files.set('a.txt', Buffer.from('whole\n'));
    const executor = world.executor();
    for (const _ of [1, 2]) {
      const action = startAction(world.script('cat a.txt'));
      await executor.start(action);
      await sink.end(action.key);
      expect(sink.text(action.key)).toBe('whole\n');
      await world.executor().sweep(async () => []);
      expect(await readdir(join(world.root, 'files'))).toEqual([]);
    }
  });
});

describe('at most one start', () => {
  test('however many executors start it at once', async () => {
    for (let round = 0; round < 5; round++) {
      const action = startAction(world.script('echo begun >> "$TMPDIR/begun"; echo answer=42 >> "$WINDLASS_OUTPUT"'));
      const before = sink.ends.length;
      await Promise.all(Array.from({ length: 4 }, () => world.executor().start(action)));
      await sink.until(() => sink.ends.length === before + 4);
      expect(sink.endsOf(action.key)).toEqual(
        Array.from({ length: 4 }, () => ({ outcome: 'Succeeded', outputs: { text: 'answer=42\n' } })),
      );
      expect(await world.lines('begun')).toHaveLength(round + 1);
    }
  });

  test('one that vanished without an exit code is lost', async () => {
    const action = waiting('exit 0');
    await startAndLoseController(action);
    await killAll(action);
    const next = world.executor();
    await next.start(action);
    expect(await sink.end(action.key)).toMatchObject(lost);
    await next.start(action);
    expect(await sink.end(action.key, 2)).toMatchObject(lost);
    expect(await world.lines('begun')).toEqual(['begun']);
  });

  test.each(['exit.json', 'masks'])(
    'one whose %s was cut off by a power failure is lost, not followed for ever',
    async (file) => {
      const action = waiting('exit 0');
      await startAndLoseController(action);
      await killAll(action);
      await writeFile(join(folderOf(action).path, file), '["cut of');
      await world.executor().start(action);
      expect(await sink.end(action.key)).toMatchObject(lost);
    },
  );

  test('a store that fails while one is adopted is told once, and tried until it answers', async () => {
    const troubles: unknown[] = [];
    const away = new Error('the store is away');
    const resumeAt = sink.log.resumeAt.bind(sink.log);
    let failures = 2;
    sink.log.resumeAt = (key) => (failures-- > 0 ? Promise.reject(away) : resumeAt(key));
    const action = waiting('exit 0');
    await startAndLoseController(action);
    await killAll(action);
    await world.executor({ troubled: (_key, error) => troubles.push(error) }).start(action);
    expect(await sink.end(action.key)).toMatchObject(lost);
    expect(troubles).toEqual([away]);
  });

  test('one that vanishes under its controller is lost too', async () => {
    const action = waiting('exit 0');
    await world.executor().start(action);
    await world.fileAppears('begun');
    await killAll(action);
    expect(await sink.end(action.key)).toMatchObject(lost);
  });

  test('a pid that means another process by now is not alive, and not touched', async () => {
    const bystander = spawn('sleep', ['1000'], { stdio: 'ignore', detached: true });
    controllers.push(bystander);
    const action = startAction(world.script('echo begun >> "$TMPDIR/begun"'));
    const folder = folderOf(action);
    await mkdir(join(folder.path, 'started'), { recursive: true });
    await writeFile(join(folder.path, 'pid'), `${bystander.pid} 1\n`);
    const executor = world.executor();
    await executor.start(action);
    expect(await sink.end(action.key)).toMatchObject(lost);
    await executor.stop(stopAction(action, 0));
    expect(await sink.end(action.key, 2)).toMatchObject(lost);
    expect(signal(bystander.pid ?? 0, 0)).toBe(true);
    expect(bystander.exitCode).toBeNull();
  });

  test('a launcher that has begun and not said who it is lives for ten seconds, then it may never begin', async () => {
    const clock = createVirtualClock(1_800_000_000_000);
    const action = startAction(world.script('echo begun >> "$TMPDIR/begun"'));
    const folder = folderOf(action);
    await mkdir(join(folder.path, 'started'), { recursive: true });
    await utimes(join(folder.path, 'started'), 1_800_000_000, 1_800_000_000);
    const executor = world.executor({ clock });
    await executor.start(action);
    await armed(clock);
    clock.advance(9900);
    await armed(clock);
    expect(sink.ends).toEqual([]);
    clock.advance(100);
    expect(await sink.end(action.key)).toMatchObject(lost);
    expect(await folder.launcher()).toEqual({ is: 'renounced' });
  });

  test('a controller killed before it launched left nothing that hinders', async () => {
    const action = startAction(world.script('cat a.txt; echo begun >> "$TMPDIR/begun"'));
    world.files.set('a.txt', Buffer.from('whole\n'));
    await mkdir(join(folderOf(action).path, 'work.half'), { recursive: true });
    await writeFile(join(folderOf(action).path, 'work.half', 'a.txt'), 'wh');
    await world.executor().start(action);
    expect(await sink.end(action.key)).toMatchObject({ outcome: 'Succeeded' });
    expect(sink.text(action.key)).toBe('whole\n');
    expect(await world.lines('begun')).toEqual(['begun']);
  });
});

/** Resolves when the executor waits for its next look. */
async function armed(clock: { pending(): number }): Promise<void> {
  while (clock.pending() === 0) await new Promise(setImmediate);
}
