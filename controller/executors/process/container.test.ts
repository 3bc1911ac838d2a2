import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { executorConformance, RecordingSink, startAction, stopAction } from '../../../test/conformance/executor.ts';
import { makeTestImage } from '../../../test/fixtures/container-engine.ts';
import { ProcessWorld } from '../../../test/fixtures/process-world.ts';
import { buildPodSettings } from '../../core/plan/pod.ts';
import type { ResolvedBody } from '../../core/run/types.ts';
import { containerResult } from './container.ts';

const image = await makeTestImage();
afterAll(() => image?.dispose());

type ContainerBody = Extract<ResolvedBody, { kind: 'container' }>;

function container(script: string, more: Partial<ContainerBody> = {}): ContainerBody {
  return {
    kind: 'container',
    image: image?.name ?? 'none',
    command: ['sh', '-ec'],
    args: [script],
    workingDir: null,
    env: {},
    secrets: {},
    pod: buildPodSettings({ name: 'work' }, undefined),
    ...more,
  };
}

async function world(sink = new RecordingSink()) {
  const made = await ProcessWorld.create(sink);
  return { sink, world: made, executor: made.executor({ env: { ...process.env, ...image?.env } }) };
}

async function outputFiles(root: string): Promise<string[]> {
  const names = await readdir(root).catch(() => []);
  const texts = names.map((name) => readFile(join(root, name, 'output'), 'utf8').catch(() => ''));
  return (await Promise.all(texts)).filter((text) => text !== '');
}

test('without a container engine the step fails, and says what to do', async () => {
  const { world: made, sink } = await world();
  const executor = made.executor({ host: { PATH: made.directory, LANG: 'C.UTF-8', TMPDIR: made.directory } });
  const action = startAction(container('true'));
  await executor.start(action);
  expect(await sink.end(action.key)).toMatchObject({
    outcome: 'Failed',
    error: { type: 'environment', retryable: false, message: expect.stringContaining('need podman or docker') },
  });
  await made.dispose();
});

test.each([
  [125, 'Error: initializing source docker://x: pinging registry: manifest unknown', 'imagePull'],
  [125, 'docker: Error response from daemon: pull access denied for x, repository does not exist', 'imagePull'],
  [125, "Unable to find image 'x' locally", 'exit'],
  [125, 'Error: cannot connect to the daemon socket', 'infrastructure/engine'],
  [125, 'Error: statfs /srv/data: permission denied', 'environment'],
  [125, 'docker: permission denied while trying to connect to the Docker daemon socket', 'environment'],
  [125, 'Error: statfs /pull/manifests: no such file or directory', 'environment'],
  [
    126,
    'Error: runc: runc create failed: unable to start container process: exec: "/x": permission denied',
    'environment',
  ],
  [126, 'Error: workdir "/x" exists on container ab52, but is not a directory', 'environment'],
  [127, 'docker: Error response from daemon: OCI runtime create failed: exec: "x": not found', 'environment'],
  [1, 'ERROR (catatonit:6): failed to exec pid1: No such file or directory', 'environment'],
  [126, 'sh: /deploy.sh: Permission denied', 'exit'],
  [127, 'sh: kubectl: not found', 'exit'],
  [125, 'permission denied: cannot pull', 'exit'],
  [1, 'Error: access denied', 'exit'],
])('exit code %i with the last line %j', (exitCode, line, type) => {
  const message = `exit code ${exitCode}: ${line}`;
  const error = { type: 'exit', exitCode, message, retryable: true };
  const told = containerResult({ outcome: 'Failed', error });
  expect(told).toMatchObject({ outcome: 'Failed', error: { type, message, retryable: type !== 'environment' } });
});

describe.skipIf(image === null)('containers', () => {
  test('run the image with its env, secrets, working directory and version files', async () => {
    const { world: made, sink, executor } = await world();
    made.files.set('greeting.txt', new TextEncoder().encode('hello from a file'));
    made.secrets.set('api/token', 'hunter2hunter2');
    const script =
      'echo "$NAME $(pwd) $(cat $WINDLASS_FILES/greeting.txt)"; test "$TOKEN" = hunter2hunter2; echo "n=1" >> $WINDLASS_OUTPUT';
    const action = startAction(
      container(script, {
        env: { NAME: 'a "b" $c' },
        secrets: { TOKEN: { name: 'api', key: 'token' } },
        workingDir: '/bin',
      }),
    );
    await executor.start(action);
    expect(await sink.end(action.key)).toEqual({ outcome: 'Succeeded', outputs: { text: 'n=1\n' } });
    expect(sink.text(action.key)).toContain('a "b" $c /bin hello from a file');
    await made.dispose();
  });

  test("an exit code is the step's, an image that is not there is not", async () => {
    const { world: made, sink, executor } = await world();
    const failing = startAction(container('exit 7'));
    const missing = startAction(container('true', { image: 'localhost:1/nosuch:1' }));
    await Promise.all([executor.start(failing), executor.start(missing)]);
    expect(await sink.end(failing.key)).toMatchObject({ error: { type: 'exit', exitCode: 7 } });
    expect(await sink.end(missing.key)).toMatchObject({ error: { type: 'imagePull', retryable: true } });
    const absent = startAction(container('true', { command: ['/nosuch'] }));
    const own = startAction(container('echo permission denied; exit 125'));
    await Promise.all([executor.start(absent), executor.start(own)]);
    expect(await sink.end(absent.key)).toMatchObject({ error: { type: 'environment', retryable: false } });
    expect(await sink.end(own.key)).toMatchObject({ error: { type: 'exit', exitCode: 125 } });
    await made.dispose();
  });

  test('one that ignores being told to stop is ended after its grace, and nothing of it stays', async () => {
    const { world: made, sink, executor } = await world();
    const action = startAction(
      container('trap "" TERM; echo begun=1 >> $WINDLASS_OUTPUT; while true; do sleep 1; done'),
    );
    await executor.start(action);
    await expect.poll(() => outputFiles(made.root), { timeout: 10_000 }).toHaveLength(1);
    await executor.stop(stopAction(action, 100));
    expect(await sink.end(action.key)).toEqual({ outcome: 'Stopped' });
    await made.dispose();
  });
});

if (image !== null) {
  executorConformance('container', async (sink) => {
    const { world: made, executor } = await world(sink);
    return {
      executor,
      bodies: {
        succeeds: {
          body: container('echo hello; echo "answer=42" >> "$WINDLASS_OUTPUT"'),
          outputs: { outcome: 'Succeeded', outputs: { text: 'answer=42\n' } },
        },
        yieldsText: (characters) => ({
          body: container(
            `printf 'text=' > "$WINDLASS_OUTPUT"; head -c ${Math.min(characters, 4000)} /dev/zero | tr '\\0' x >> "$WINDLASS_OUTPUT"`,
          ),
          outputs: { outcome: 'Succeeded', outputs: { text: `text=${'x'.repeat(Math.min(characters, 4000))}` } },
        }),
        fails: container('echo no such order >&2; exit 3'),
        endless: container('echo begun=1 >> "$WINDLASS_OUTPUT"; sleep 1000'),
      },
      endlessBegun: async () => {
        await expect.poll(() => outputFiles(made.root), { timeout: 10_000 }).not.toHaveLength(0);
      },
      endlessCount: async () => (await outputFiles(made.root)).join('').split('begun').length - 1,
      dispose: () => made.dispose(),
    };
  });
}
