import { access, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { RecordingSink, startAction, stopAction } from '../../../test/conformance/executor.ts';
import { ProcessWorld } from '../../../test/fixtures/process-world.ts';
import type { AttemptResult, ResolvedBody } from '../../core/run/types.ts';
import type { StartAction } from '../../seams/executor.ts';
import { AttemptFolder, attemptHash } from './attempt-folder.ts';
import type { ProcessExecutor } from './executor.ts';
import { Carriers } from './processes.ts';

const mebibyte = 1024 * 1024;
let sink: RecordingSink;
let world: ProcessWorld;
let executor: ProcessExecutor;

beforeEach(async () => {
  sink = new RecordingSink();
  world = await ProcessWorld.create(sink);
  executor = world.executor();
});
afterEach(() => world.dispose());

async function run(
  body: ResolvedBody,
  by = executor,
): Promise<{ action: StartAction; result: AttemptResult; log: string }> {
  const action = startAction(body);
  await by.start(action);
  const result = await sink.end(action.key);
  return { action, result, log: sink.text(action.key) };
}

function folderOf(action: StartAction): AttemptFolder {
  return new AttemptFolder(world.root, attemptHash(action.key));
}

function carriers(action: StartAction): Promise<number[]> {
  return new Carriers().find(attemptHash(action.key));
}

const succeeded = { outcome: 'Succeeded', outputs: { text: '' } };

describe('what a script finds', () => {
  test('an environment of its own and nothing else', async () => {
    process.env['WINDLASS_TEST_LEAK'] = 'leaked';
    world.secrets.set('api/token', 'hunter2-token');
    const { action, log } = await run(
      world.script('env > "$TMPDIR/env"; pwd -P', {
        env: { REGION: 'eu', WINDLASS_ATTEMPT: 'x' },
        secrets: { TOKEN: { name: 'api', key: 'token' } },
      }),
    );
    const folder = folderOf(action);
    const shells = ['PWD', 'OLDPWD', 'SHLVL', '_'];
    const entries = (await world.lines('env')).map((line) => [
      line.slice(0, line.indexOf('=')),
      line.slice(line.indexOf('=') + 1),
    ]);
    const found = Object.fromEntries(entries.filter(([name]) => !shells.includes(name ?? '')));
    expect(found).toEqual({
      PATH: process.env['PATH'],
      LANG: 'C.UTF-8',
      TMPDIR: world.directory,
      HOME: folder.workDirectory,
      REGION: 'eu',
      TOKEN: 'hunter2-token',
      WINDLASS_ATTEMPT: attemptHash(action.key),
      WINDLASS_ATTEMPT_NUMBER: '1',
      WINDLASS_FILES: expect.stringContaining(world.root),
      WINDLASS_NAMESPACE: 'dev',
      WINDLASS_OUTPUT: folder.output,
      WINDLASS_RUN: 'nightly-1',
      WINDLASS_RUN_ID: action.key.runId,
      WINDLASS_STEP: 'work',
      WINDLASS_WORKFLOW: 'nightly',
    });
    expect(log.trim()).toBe(folder.workDirectory);
    delete process.env['WINDLASS_TEST_LEAK'];
  });

  test('its files: executable copies to change, and the originals', async () => {
    world.files.set('fetch.sh', Buffer.from('#!/bin/sh\necho fetched\n'));
    world.files.set('prompts/review.md', Buffer.from('review'));
    const body = world.script(
      './fetch.sh; cat prompts/review.md; echo changed > fetch.sh; cat fetch.sh "$WINDLASS_FILES/fetch.sh"; stat -c %a prompts/review.md "$WINDLASS_FILES/fetch.sh"',
    );
    for (const { log, result } of [await run(body), await run(body)]) {
      expect(log).toBe('fetched\nreviewchanged\n#!/bin/sh\necho fetched\n755\n444\n');
      expect(result).toEqual(succeeded);
    }
  });

  test('a file outside of the version is refused', async () => {
    world.files.set('../../evil', Buffer.from(''));
    await expect(executor.start(startAction(world.script('true')))).rejects.toThrow('outside');
  });

  test('another shell', async () => {
    const { log } = await run(world.script('print(6 * 7)', { shell: ['awk', 'BEGIN { print ARGV[1] }'] }));
    expect(log).toBe('print(6 * 7)\n');
  });

  test('nothing to read from', async () => {
    expect((await run(world.script('cat; echo end'))).log).toBe('end\n');
  });
});

describe('how it ended', () => {
  test('exit code, with the last line for people', async () => {
    expect((await run(world.script('echo one; echo no such order >&2; echo; exit 3'))).result).toEqual({
      outcome: 'Failed',
      error: { type: 'exit', exitCode: 3, message: 'exit code 3: no such order', retryable: true },
    });
  });

  test('by a signal', async () => {
    expect((await run(world.script('kill -9 $$'))).result).toMatchObject({
      error: { type: 'exit', exitCode: 137, message: expect.stringContaining('SIGKILL') },
    });
  });

  test('a script that signals its whole group ends itself only', async () => {
    expect((await run(world.script('echo last words; kill -TERM 0; sleep 1000'))).result).toMatchObject({
      error: { type: 'exit', exitCode: 143 },
    });
  });

  test('a command that is not there', async () => {
    expect((await run(world.script('x', { shell: ['no-such-shell'] }))).result).toMatchObject({
      error: { type: 'exit', exitCode: 127, message: expect.stringContaining('no-such-shell') },
    });
  });

  test('a PATH that leads nowhere breaks the script, not its launcher', async () => {
    expect((await run(world.script('true', { env: { PATH: '/nowhere' } }))).result).toMatchObject({
      error: { exitCode: 127 },
    });
    expect((await run(world.script('echo ok', { env: { PATH: '/nowhere' }, shell: ['/bin/sh', '-c'] }))).log).toBe(
      'ok\n',
    );
  });

  test.each([
    ['a script', { script: `: ${'x'.repeat(200_000)}` }],
    ['a value', { env: { A: 'x'.repeat(200_000) } }],
    ['a NUL', { env: { A: 'a\0b' } }],
  ])('%s that no process can be given', async (_what, more) => {
    expect((await run(world.script('true', more))).result).toMatchObject({
      outcome: 'Failed',
      error: { type: 'environment', retryable: false },
    });
  });

  test('a missing secret: before anything begins', async () => {
    const { action, result } = await run(world.script('true', { secrets: { T: { name: 'api', key: 'token' } } }));
    expect(result).toEqual({
      outcome: 'Failed',
      error: {
        type: 'secretMissing',
        message: expect.stringContaining('secret api has no key token in namespace dev; put it into'),
        retryable: false,
      },
    });
    await expect(access(folderOf(action).path)).rejects.toThrow('ENOENT');
  });

  test('an output that contains a secret is refused, in any form', async () => {
    world.secrets.set('api/token', 'hunter2-token');
    const secrets = { TOKEN: { name: 'api', key: 'token' } };
    for (const value of ['"$TOKEN"', '"$(printf %s "$TOKEN" | base64)"']) {
      const { result } = await run(world.script(`echo v=${value} >> "$WINDLASS_OUTPUT"`, { secrets }));
      expect(result).toMatchObject({ error: { type: 'secretInOutput', retryable: false } });
    }
  });

  test('an output beyond 16 MiB is refused', async () => {
    expect((await run(world.script('head -c 17000000 /dev/zero > "$WINDLASS_OUTPUT"'))).result).toMatchObject({
      error: { type: 'output', retryable: false },
    });
  });

  test('what it leaves behind does not keep it from ending, and ends with it', async () => {
    const { action, result, log } = await run(world.script('echo before; sleep 1000 & echo after'));
    expect(result).toEqual(succeeded);
    expect(log).toBe('before\nafter\n');
    await executor.forget(action.key);
    expect(await carriers(action)).toEqual([]);
  });

  test('what goes into a session of its own is found when the attempt is forgotten', async () => {
    const { action, result } = await run(
      world.script(
        "mkfifo away; (setsid sh -c 'echo gone > away; exec sleep 1000' > /dev/null 2>&1 &); read -r _ < away",
      ),
    );
    expect(result).toEqual(succeeded);
    expect(await carriers(action)).toHaveLength(1);
    await executor.forget(action.key);
    expect(await carriers(action)).toEqual([]);
    await expect(access(folderOf(action).path)).rejects.toThrow('ENOENT');
  });
});

describe('logs', () => {
  test('both streams in order, NUL bytes as they are', async () => {
    const { log } = await run(world.script("echo a; echo b >&2; printf 'c\\0d\\n'; echo e >&2"));
    expect(log).toBe('a\nb\nc\0d\ne\n');
  });

  test('secrets are hidden, also across the borders of chunks', async () => {
    world.secrets.set('api/token', 'hunter2-token');
    const fill = 64 * 1024 - 5;
    const { log } = await run(
      world.script(`head -c ${fill} /dev/zero | tr '\\0' x; echo "$TOKEN"; printf %s "$TOKEN" | base64; exit 1`, {
        secrets: { TOKEN: { name: 'api', key: 'token' } },
      }),
    );
    expect(log).toBe(
      `${'x'.repeat(fill)}***\n***==\n`.replace(
        '==',
        ''.padEnd(Buffer.from('hunter2-token').toString('base64').split('=').length - 1, '='),
      ),
    );
    expect(sink.endsOf(sink.ends[0]!.key)[0]).toMatchObject({
      error: { message: expect.not.stringContaining('hunter2') },
    });
  });

  test('come while it runs', async () => {
    const action = startAction(world.script('echo ready; sleep 1000'));
    await executor.start(action);
    await sink.until(() => sink.chunks.length > 0);
    expect(sink.text(action.key)).toBe('ready\n');
    await executor.stop(stopAction(action, 0));
    await sink.end(action.key);
  });

  test('1 GB fills neither disk nor store, and the step runs on', async () => {
    const { action, result, log } = await run(
      world.script('yes 0123456789abcdef | head -c 1000000000; echo done > "$TMPDIR/done"'),
    );
    expect(result).toEqual(succeeded);
    expect(await world.lines('done')).toEqual(['done']);
    expect((await stat(folderOf(action).log)).size).toBeLessThanOrEqual(100 * mebibyte);
    expect(log.length).toBe(4 * mebibyte);
    expect(sink.overflows.at(-1)?.rest?.bytes).toBeLessThanOrEqual(96 * mebibyte + 100);
    expect(Math.max(...sink.chunks.map((c) => c.bytes.length))).toBeLessThanOrEqual(64 * 1024);
  });

  test('a store that fails for a while loses nothing, and the end comes after the log', async () => {
    let failures = 2;
    const flaky = world.executor({
      sink: {
        ended: (key, result, at) => sink.ended(key, result, at),
        unmasked: (key, secrets) => sink.unmasked(key, secrets),
        waiting: (key, reason) => sink.waiting(key, reason),
        log: {
          resumeAt: sink.log.resumeAt,
          overflow: sink.log.overflow,
          append: async (...args) => {
            if (failures-- > 0) throw new Error('store away');
            await sink.log.append(...args);
          },
        },
      },
    });
    const { log, result } = await run(world.script('echo kept'), flaky);
    expect(log).toBe('kept\n');
    expect(result).toEqual(succeeded);
  });
});

describe('stopping', () => {
  test('politely first: a script may clean up', async () => {
    const action = startAction(
      world.script('trap "echo cleaned; exit 0" TERM; echo > "$TMPDIR/begun"; sleep 1000 & wait'),
    );
    await executor.start(action);
    await world.fileAppears('begun');
    await executor.stop(stopAction(action, 20_000));
    expect(await sink.end(action.key)).toEqual({ outcome: 'Stopped' });
    expect(sink.text(action.key)).toContain('cleaned');
    expect(await carriers(action)).toEqual([]);
  });

  test('then for good', async () => {
    const action = startAction(world.script('trap "" TERM; echo > "$TMPDIR/begun"; while :; do sleep 1; done'));
    await executor.start(action);
    await world.fileAppears('begun');
    await executor.stop(stopAction(action, 50));
    expect(await sink.end(action.key)).toEqual({ outcome: 'Stopped' });
    expect(await carriers(action)).toEqual([]);
  });

  test('sooner than was said first, when that is asked for', async () => {
    const action = startAction(world.script('trap "" TERM; echo > "$TMPDIR/begun"; while :; do sleep 1; done'));
    await executor.start(action);
    await world.fileAppears('begun');
    await executor.stop(stopAction(action, 600_000));
    await executor.stop(stopAction(action, 50));
    expect(await sink.end(action.key)).toEqual({ outcome: 'Stopped' });
    expect(await carriers(action)).toEqual([]);
  });

  test('wherever it has gone', async () => {
    const action = startAction(
      world.script('setsid sh -c \'trap "" TERM; echo > "$TMPDIR/begun"; while :; do sleep 1; done\' & wait'),
    );
    await executor.start(action);
    await world.fileAppears('begun');
    await executor.stop(stopAction(action, 50));
    expect(await sink.end(action.key)).toEqual({ outcome: 'Stopped' });
    expect(await carriers(action)).toEqual([]);
  });

  test('a command that has ended keeps its end; what it left behind is ended', async () => {
    const action = startAction(
      world.script(
        '(trap "" TERM; echo > "$TMPDIR/begun"; while :; do sleep 1; done) & echo a=1 >> "$WINDLASS_OUTPUT"',
      ),
    );
    await executor.start(action);
    await world.fileAppears('begun');
    while (folderOf(action).endedAt() === null) await new Promise(setImmediate);
    await executor.stop(stopAction(action, 50));
    expect(await sink.end(action.key)).toEqual({ outcome: 'Succeeded', outputs: { text: 'a=1\n' } });
    expect(sink.instantsOf(action.key)).toEqual([folderOf(action).endedAt()]);
    expect(await carriers(action)).toEqual([]);
  });

  test('also when the signal comes before there is a command to take it', async () => {
    const action = startAction(world.script('echo > "$TMPDIR/effect"'));
    await folderOf(action).create();
    folderOf(action).markStopped();
    await executor.start(action);
    expect(await sink.end(action.key)).toEqual({ outcome: 'Stopped' });
    await expect(access(join(world.directory, 'effect'))).rejects.toThrow('ENOENT');
  });

  test('an attempt that was stopped before it began never begins', async () => {
    const action = startAction(world.script('echo > "$TMPDIR/effect"'));
    await executor.stop(stopAction(action, 0));
    await sink.end(action.key);
    await executor.start(action);
    expect(await sink.end(action.key, 2)).toMatchObject({ error: { type: 'infrastructure/lost' } });
    await expect(access(join(world.directory, 'effect'))).rejects.toThrow('ENOENT');
  });
});
