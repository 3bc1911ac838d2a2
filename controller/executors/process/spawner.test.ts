import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { RecordingSink, startAction } from '../../../test/conformance/executor.ts';
import { createVirtualClock } from '../../../test/fixtures/clock.ts';
import { ProcessWorld } from '../../../test/fixtures/process-world.ts';
import { systemClock } from '../../runtime/clock.ts';
import { Spawner } from './spawner.ts';

/** The processes of spawners that this process has. */
function spawners(): number[] {
  const listed = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,args='], { encoding: 'utf8' });
  return listed
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(
      ([, parent, ...args]) => Number(parent) === process.pid && args.some((arg) => arg.endsWith('spawner-process.ts')),
    )
    .map(([pid]) => Number(pid));
}

describe('a spawner', () => {
  let spawner: Spawner;
  const of = (script: string, env: Record<string, string> = {}) => ({
    file: '/bin/sh',
    args: ['-c', script],
    cwd: tmpdir(),
    env,
  });
  beforeEach(() => {
    spawner = new Spawner(systemClock);
  });
  afterEach(() => spawner.close());

  test('tells how each of many processes ended', async () => {
    const codes = Array.from({ length: 20 }, (_, i) => i);
    const ends = await Promise.all(codes.map(async (code) => (await spawner.spawn(of(`exit ${code}`))).end));
    expect(ends).toEqual(codes.map((code) => ({ code })));
    expect(spawners()).toHaveLength(1);
  });

  test('a process that a signal ended has no exit code', async () => {
    const { end } = await spawner.spawn(of('kill -9 $$'));
    expect(await end).toEqual({ code: null });
  });

  test.each([
    ['a variable larger than the system takes', of('true', { BIG: 'x'.repeat(200_000) }), 'E2BIG'],
    ['a NUL in a variable', of('true', { NUL: 'a\0b' }), 'ERR_INVALID_ARG_VALUE'],
    ['a directory that is not there', { ...of('true'), cwd: '/nonexistent' }, 'ENOENT'],
  ])('refuses %s as spawn itself does', async (_what, request, code) => {
    await expect(spawner.spawn(request)).rejects.toMatchObject({ code });
    expect(await (await spawner.spawn(of('exit 3'))).end).toEqual({ code: 3 });
  });

  test('lost: what it started is unseen, and the next is started by another', async () => {
    const { pid, end } = await spawner.spawn(of('exec sleep 60'));
    for (const one of spawners()) process.kill(one, 'SIGKILL');
    expect(await end).toBe('unseen');
    // It did not take its processes with it.
    expect(process.kill(pid, 'SIGKILL')).toBe(true);
    expect(await (await spawner.spawn(of('exit 4'))).end).toEqual({ code: 4 });
  });

  test('lost before it answered: told as an error', async () => {
    await (await spawner.spawn(of('true'))).end;
    const [one] = spawners();
    process.kill(one ?? 0, 'SIGSTOP');
    const asked = spawner.spawn(of('true'));
    process.kill(one ?? 0, 'SIGKILL');
    await expect(asked).rejects.toThrow('the process that starts processes ended with SIGKILL');
  });

  test('stopped by somebody, it is given up in the end', async () => {
    const clock = createVirtualClock(0);
    const own = new Spawner(clock);
    await (await own.spawn(of('true'))).end;
    const [one] = spawners();
    process.kill(one ?? 0, 'SIGSTOP');
    const asked = own.spawn(of('true'));
    clock.advance(10_000);
    await expect(asked).rejects.toThrow('ended with SIGKILL');
    own.close();
  });

  test('goes on when everything around it is told to end', async () => {
    const { pid, end } = await spawner.spawn(of('exec sleep 60'));
    for (const one of spawners()) for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.kill(one, name);
    process.kill(pid, 'SIGKILL');
    expect(await end).toEqual({ code: null });
  });

  test.runIf(process.platform === 'linux')('shows nothing of the controller in its environment', async () => {
    await (await spawner.spawn(of('true'))).end;
    const [one] = spawners();
    expect(readFileSync(`/proc/${one}/environ`, 'utf8')).not.toContain('PATH');
  });
});

describe('an attempt whose spawner is lost', () => {
  test('runs once, to its end', async () => {
    const sink = new RecordingSink();
    const world = await ProcessWorld.create(sink);
    try {
      const action = startAction(
        world.script('echo begun >> "$TMPDIR/begun"; until [ -e "$TMPDIR/go" ]; do sleep 0.05; done; echo done'),
      );
      await world.executor().start(action);
      await world.fileAppears('begun');
      for (const one of spawners()) process.kill(one, 'SIGKILL');
      execFileSync('touch', [`${world.directory}/go`]);
      expect(await sink.end(action.key)).toMatchObject({ outcome: 'Succeeded' });
      expect(sink.text(action.key)).toBe('done\n');
      expect(await world.lines('begun')).toHaveLength(1);
    } finally {
      await world.dispose();
    }
  });
});
