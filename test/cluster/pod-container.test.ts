import { afterEach, describe, expect, test } from 'vitest';
import { buildPodSettings } from '../../controller/core/plan/pod.ts';
import type { AttemptResult, ResolvedBody } from '../../controller/core/run/types.ts';
import type { StartAction } from '../../controller/seams/executor.ts';
import { RecordingSink, startAction, stopAction } from '../conformance/executor.ts';
import { findCluster } from '../fixtures/kubernetes.ts';
import { nodesOf, PodWorld } from '../fixtures/pod-world.ts';

type ContainerBody = Extract<ResolvedBody, { kind: 'container' }>;

const cluster = process.env['KUBECONFIG'] ? await findCluster() : null;
const nodes = await nodesOf(cluster);

/** A shell in the image's own words: what its program would be, in an image that has one. */
function container(script: string, more: Partial<ContainerBody> = {}): ContainerBody {
  return {
    kind: 'container',
    image: 'busybox:1',
    command: ['sh', '-ec'],
    args: [script],
    workingDir: null,
    env: {},
    secrets: {},
    pod: buildPodSettings({ name: 'work' }, undefined),
    ...more,
  };
}

describe.skipIf(nodes !== 'kubelet')('container steps as Pods (on a kubelet)', () => {
  const worlds: PodWorld[] = [];
  afterEach(async () => {
    for (const world of worlds.splice(0)) await world.dispose();
  });

  async function ready(labels: Record<string, string> = {}) {
    if (!cluster) throw new Error('there is no cluster');
    const sink = new RecordingSink();
    const world = await PodWorld.create(cluster, sink, labels);
    worlds.push(world);
    const executor = world.executor();
    const begin = async (body: StartAction['body']) => {
      const action = await world.owned(startAction(body));
      await executor.start(action);
      return action;
    };
    const run = async (body: StartAction['body']): Promise<AttemptResult> => sink.end((await begin(body)).key);
    return { sink, world, executor, begin, run };
  }

  test('command, args and env arrive as they were written; its image says what is not', async () => {
    const { sink, begin } = await ready();
    const text = '$(HOSTNAME) $HOME $$ "quoted" ${A}';
    const whole = container('', {
      command: ['printf', '[%s]'],
      args: [text, 'two words', ''],
      env: { A: 'never expanded' },
    });
    const shown = await begin(whole);
    expect(await sink.end(shown.key)).toEqual({ outcome: 'Succeeded', outputs: { text: '' } });
    expect(sink.text(shown.key).trimEnd()).toBe(`[${text}][two words][]`);

    // The image has no program of its own: its arguments are the whole command.
    const own = await begin(
      container('', { command: null, args: ['sh', '-c', 'echo "$A"; pwd'], env: { A: '$(B) c' }, workingDir: '/usr' }),
    );
    expect(await sink.end(own.key)).toMatchObject({ outcome: 'Succeeded' });
    expect(sink.text(own.key)).toBe('$(B) c\n/usr\n');
  });

  test('in a folder of the image, as nobody, with the files of its version in place and read-only', async () => {
    const { sink, begin, world } = await ready({ 'pod-security.kubernetes.io/enforce': 'restricted' });
    world.files.set('prompts/a b.md', Buffer.from('rows=7\n'));
    const action = await begin(
      container(
        'pwd; id -u; cat "$WINDLASS_FILES/prompts/a b.md"; ! touch "$WINDLASS_FILES/new" 2>/dev/null; echo "$WINDLASS_STEP $WINDLASS_ATTEMPT_NUMBER"',
      ),
    );
    expect(await sink.end(action.key)).toMatchObject({ outcome: 'Succeeded' });
    expect(sink.text(action.key)).toBe(`/\n65532\nrows=7\n${action.key.step} ${action.key.attempt}\n`);
  });

  test('its outputs, by the termination message', async () => {
    const { run } = await ready();
    const outputs = (text: string) => ({ outcome: 'Succeeded', outputs: { text } });
    expect(
      await run(container(`printf 'a=Grüße 🎉\\n' >> "$WINDLASS_OUTPUT"; echo b=2 >> "$WINDLASS_OUTPUT"`)),
    ).toEqual(outputs('a=Grüße 🎉\nb=2\n'));
    // What begins like a word of our wrapper is none: nothing of ours runs there.
    expect(await run(container('printf "e too large" > "$WINDLASS_OUTPUT"'))).toEqual(outputs('e too large'));
    expect(await run(container('head -c 4095 /dev/zero | tr "\\0" x > "$WINDLASS_OUTPUT"'))).toEqual(
      outputs('x'.repeat(4095)),
    );
  });

  test('more than a termination message holds is refused, not cut', async () => {
    const { run } = await ready();
    const refused = { outcome: 'Failed', error: { type: 'output', retryable: false } };
    for (const bytes of [4096, 20_000]) {
      expect(await run(container(`head -c ${bytes} /dev/zero | tr "\\0" x > "$WINDLASS_OUTPUT"`))).toMatchObject(
        refused,
      );
    }
    // Bytes count, not characters.
    expect(
      await run(container(`i=0; while [ $i -lt 2100 ]; do printf ü; i=$((i+1)); done > "$WINDLASS_OUTPUT"`)),
    ).toMatchObject(refused);
  });

  test('secrets, which are hidden in its log and refused in its outputs', async () => {
    const { sink, begin, world, run } = await ready();
    const value = 'hunter2-hunter2';
    await world.create(world.path('secrets'), { metadata: { name: 'orders-api' }, stringData: { token: value } });
    world.secrets.set('orders-api/token', value);
    const secrets = { TOKEN: { name: 'orders-api', key: 'token' } };
    const shown = await begin(container('echo "token $TOKEN"; [ ${#TOKEN} = 15 ]', { secrets }));
    expect(await sink.end(shown.key)).toMatchObject({ outcome: 'Succeeded' });
    expect(sink.text(shown.key)).toBe('token ***\n');
    expect(await run(container('echo "t=$TOKEN" > "$WINDLASS_OUTPUT"', { secrets }))).toMatchObject({
      error: { type: 'secretInOutput', retryable: false },
    });
  });

  test('an exit code with the last line; a program that is not there; an image that is none', async () => {
    const { run } = await ready();
    expect(await run(container('echo one >&2; echo a=1 > "$WINDLASS_OUTPUT"; echo no such order >&2; exit 3'))).toEqual(
      {
        outcome: 'Failed',
        error: { type: 'exit', exitCode: 3, message: 'exit code 3: no such order', retryable: true },
      },
    );
    expect(await run(container('', { command: ['/no/such/program'], args: null }))).toMatchObject({
      outcome: 'Failed',
      error: { message: expect.stringContaining('/no/such/program') },
    });
    expect(await run(container('true', { image: 'Upper' }))).toMatchObject({
      error: { type: 'configError', retryable: false },
    });
  });

  test('stopping ends it, with its grace', async () => {
    const { sink, executor, begin } = await ready();
    const action = await begin(container('trap "echo bye; exit 0" TERM; echo begun; while :; do sleep 0.1; done'));
    await sink.until(() => sink.text(action.key) === 'begun\n');
    await executor.stop(stopAction(action, 10_000));
    expect(await sink.end(action.key)).toEqual({ outcome: 'Stopped' });
    expect(sink.text(action.key)).toMatch(/bye\n$/);
  });
});
