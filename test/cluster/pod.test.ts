import { afterEach, describe, expect, test } from 'vitest';
import type { AttemptResult } from '../../controller/core/run/types.ts';
import { podName } from '../../controller/executors/pod/names.ts';
import { stepStatus } from '../../controller/executors/pod/pod.ts';
import { systemClock } from '../../controller/runtime/clock.ts';
import type { StartAction } from '../../controller/seams/executor.ts';
import { RecordingSink, startAction, stopAction } from '../conformance/executor.ts';
import { kubectlOrThrow } from '../fixtures/kubectl.ts';
import { type Cluster, findCluster } from '../fixtures/kubernetes.ts';
import { nodesOf, PodWorld } from '../fixtures/pod-world.ts';

const cluster = process.env['KUBECONFIG'] ? await findCluster() : null;
const nodes = await nodesOf(cluster);

describe.skipIf(nodes !== 'kubelet')('steps as Pods (on a kubelet)', () => {
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
    const begin = async (body: StartAction['body'], change: Partial<StartAction> = {}) => {
      const action = { ...(await world.owned(startAction(body))), ...change };
      await executor.start(action);
      return action;
    };
    const run = async (body: StartAction['body']): Promise<AttemptResult> => sink.end((await begin(body)).key);
    return { sink, world, executor, begin, run };
  }

  describe('how it ended', () => {
    test('an exit code, with the last line', async () => {
      const { run, world } = await ready();
      expect(await run(world.script('echo one; echo no such order >&2; exit 3'))).toEqual({
        outcome: 'Failed',
        error: { type: 'exit', exitCode: 3, message: 'exit code 3: no such order', retryable: true },
      });
    });

    test('out of memory', async () => {
      const { run, world } = await ready();
      const hungry = world.script(
        'x=$(head -c 60000000 /dev/zero | tr "\\0" x); echo $x | wc -c',
        {},
        { resources: { limits: { memory: '24Mi' } } },
      );
      expect(await run(hungry)).toMatchObject({ outcome: 'Failed', error: { type: 'outOfMemory', exitCode: 137 } });
    });

    test('activeDeadlineSeconds', async () => {
      const { run, world } = await ready();
      const slow = world.script(
        'sleep 1000',
        {},
        { podTemplate: { spec: { activeDeadlineSeconds: 1, terminationGracePeriodSeconds: 1 } } },
      );
      expect(await run(slow)).toMatchObject({ outcome: 'Failed', error: { type: 'deadline', retryable: true } });
    });

    test('a Secret that is not there, and the Pod does not stay behind', async () => {
      const { run, world } = await ready();
      const result = await run(world.script('true', { secrets: { TOKEN: { name: 'none', key: 'k' } } }));
      expect(result).toEqual({
        outcome: 'Failed',
        error: {
          type: 'configError',
          message: `CreateContainerConfigError: secret "none" not found; create it in namespace ${world.namespace}, and the run again`,
          retryable: false,
        },
      });
      await world.until(() => world.pods.size === 0);
    });

    test('an image without the program, and one that is no image', async () => {
      const { run, world } = await ready();
      expect(await run(world.script('true', { shell: ['no-such-shell'] }))).toMatchObject({
        error: { type: 'exit', exitCode: 127 },
      });
      expect(await run(world.script('true', {}, { image: 'Upper' }))).toMatchObject({
        error: { type: 'configError', retryable: false },
      });
    });

    test('an image that cannot be pulled for now: it is told at once why it waits, once, and no more when it ends', async () => {
      const { sink, begin, executor, world } = await ready();
      const action = await begin(world.script('true', {}, { image: 'registry.invalid/tools:1' }));
      await sink.until(() => sink.waits.length > 0);
      expect(sink.waits).toEqual([
        { key: action.key, reason: expect.stringMatching(/^(ErrImagePull|ImagePullBackOff): .*registry\.invalid/) },
      ]);
      // Failures and pauses in turn are one wait.
      const reasonOf = () => [...world.pods.values()][0]?.status?.containerStatuses?.[0]?.state?.waiting?.reason;
      await world.until(() => reasonOf() === 'ImagePullBackOff');
      expect(sink.waits).toHaveLength(1);
      await executor.stop(stopAction(action, 1000));
      expect(await sink.end(action.key)).toEqual({ outcome: 'Stopped' });
      expect(sink.waits.slice(1)).toEqual([{ key: action.key, reason: null }]);
    });

    test('its Pod deleted by hand', async () => {
      const { sink, begin, world } = await ready();
      const action = await begin(world.script('echo begun; sleep 1000'));
      await sink.until(() => sink.text(action.key).includes('begun'));
      const [pod] = [...world.pods.values()];
      await world.client.request('DELETE', world.path('pods', pod?.metadata.name), { body: { gracePeriodSeconds: 1 } });
      expect(await sink.end(action.key)).toMatchObject({
        outcome: 'Failed',
        error: { type: 'podDeleted', retryable: true },
      });
      expect(sink.text(action.key)).toMatch(/^begun\n/);
    });

    test('its Pod taken off the API at once', async () => {
      const { sink, begin, world } = await ready();
      const action = await begin(world.script('echo begun; sleep 1000'));
      await world.until(() => world.began.size > 0);
      const [pod] = [...world.pods.values()];
      await world.client.request('DELETE', world.path('pods', pod?.metadata.name), { body: { gracePeriodSeconds: 0 } });
      expect(await sink.end(action.key)).toMatchObject({ outcome: 'Failed', error: { type: 'podDeleted' } });
    });
  });

  describe('what keeps it from beginning', () => {
    test('a quota, until it is gone', async () => {
      const { sink, world, executor } = await ready();
      await world.create(world.path('resourcequotas'), { metadata: { name: 'none' }, spec: { hard: { pods: '0' } } });
      // It counts only once its controller has seen it.
      const counts = ['wait', 'quota/none', '-n', world.namespace, '--for=jsonpath={.status.hard.pods}=0'];
      await kubectlOrThrow(cluster as Cluster, counts);
      const action = await world.owned(startAction(world.script('true')));
      const held = { name: 'AttemptHeld', message: expect.stringContaining('exceeded quota') };
      await expect(executor.start(action)).rejects.toMatchObject(held);
      await world.client.request('DELETE', world.path('resourcequotas', 'none'));
      // As the loop of the run does it: the API server may have the quota in its cache for a moment.
      const again = () => executor.start({ ...action, startedAt: Date.now() - 3_600_000 });
      const begun = () =>
        again().then(
          () => 'begun',
          (error: Error) => error.name,
        );
      await expect.poll(begun, { timeout: 20_000 }).toBe('begun');
      expect(await sink.end(action.key)).toMatchObject({ outcome: 'Succeeded' });
    });

    test('Pod Security, which the usual step passes', async () => {
      const { run, world } = await ready({ 'pod-security.kubernetes.io/enforce': 'restricted' });
      expect(
        await run(world.script('id -u; cat /proc/self/status | grep -q "CapEff:.0000000000000000"')),
      ).toMatchObject({
        outcome: 'Succeeded',
      });
      expect(await run(world.script('true', {}, { security: 'baseline' }))).toMatchObject({
        error: { type: 'podSecurity', retryable: false, message: expect.stringContaining('violates PodSecurity') },
      });
    });

    test('a field that Kubernetes does not have, and a value it does not take', async () => {
      const { run, world } = await ready();
      expect(await run(world.script('true', {}, { podTemplate: { spec: { prioritty: 1 } } }))).toMatchObject({
        error: { type: 'podInvalid', message: expect.stringContaining('spec.prioritty'), retryable: false },
      });
      expect(await run(world.script('true', {}, { nodeSelector: { 'not a label': 'x' } }))).toMatchObject({
        error: { type: 'podInvalid', retryable: false },
      });
    });

    test('a namespace that is not there, or is being deleted', async () => {
      const { sink, begin, world } = await ready();
      const nowhere = await begin(world.script('true'), { namespace: 'no-such-namespace' });
      expect(await sink.end(nowhere.key)).toMatchObject({ error: { type: 'namespaceMissing', retryable: false } });
      await world.create(world.path('configmaps'), { metadata: { name: 'held', finalizers: ['example.org/held'] } });
      const going = await world.owned(startAction(world.script('true')));
      await world.client.request('DELETE', `/api/v1/namespaces/${world.namespace}`);
      await world.executor().start(going);
      expect(await sink.end(going.key)).toMatchObject({ error: { type: 'namespaceTerminating', retryable: false } });
      const body = { metadata: { finalizers: null } };
      await world.client.request('PATCH', world.path('configmaps', 'held'), {
        body,
        contentType: 'application/merge-patch+json',
      });
    });

    test('a volume that cannot be mounted: told soon, and its end once that has lasted', async () => {
      const { sink, begin, executor, world } = await ready();
      const volumes = [{ name: 'data', mountPath: '/data', configMap: { name: 'none' } }];
      const action = await begin(world.script('true', {}, { volumes }));
      await world.warned('FailedMount');
      await sink.until(() => sink.waits.length > 0);
      const reason = expect.stringMatching(/^a volume cannot be mounted: .*configmap "none" not found/) as string;
      expect(sink.waits).toEqual([{ key: action.key, reason }]);
      await executor.close();
      const ahead = { ...systemClock, now: () => Date.now() + 6 * 60_000 };
      await world.executor({ clock: ahead }).start(action);
      expect(await sink.end(action.key)).toMatchObject({
        outcome: 'Failed',
        error: { type: 'volume', retryable: true, message: expect.stringContaining('configmap "none" not found') },
      });
      await world.until(() => world.pods.size === 0);
    });

    test('an account that the namespace does not lend, and one that it does', async () => {
      const { run, world } = await ready();
      await world.create(world.path('serviceaccounts'), { metadata: { name: 'reporter' } });
      const as = (serviceAccountName: string) =>
        world.script('test -s /var/run/secrets/kubernetes.io/serviceaccount/token', {}, { serviceAccountName });
      for (const account of ['reporter', 'default']) {
        expect(await run(as(account))).toMatchObject({ error: { type: 'notPermitted', retryable: false } });
      }
      const annotations = { 'windlass.dev/step-service-accounts': 'other, reporter' };
      await world.client.request('PATCH', `/api/v1/namespaces/${world.namespace}`, {
        body: { metadata: { annotations } },
        contentType: 'application/merge-patch+json',
      });
      expect(await run(as('reporter'))).toMatchObject({ outcome: 'Succeeded' });
      expect(await run(as('other'))).toMatchObject({ error: { type: 'serviceAccount', retryable: false } });
    });

    test('what reaches beyond the Pod, unless the operator allows it', async () => {
      const { sink, run, world } = await ready();
      const body = world.script(
        'ls /host',
        {},
        { volumes: [{ name: 'host', mountPath: '/host', hostPath: { path: '/' } }] },
      );
      expect(await run(body)).toMatchObject({
        error: { type: 'notPermitted', message: expect.stringContaining('hostPath') },
      });
      const allowed = await world.owned(startAction(body));
      await world.executor({ allowPrivileged: new Set([world.namespace]) }).start(allowed);
      expect(await sink.end(allowed.key)).toMatchObject({ outcome: 'Succeeded' });
    });

    test('another Pod of its name', async () => {
      const { sink, executor, world } = await ready();
      const action = await world.owned(startAction(world.script('true')));
      const name = podName(action.runName, action.key);
      const spec = { restartPolicy: 'Never', containers: [{ name: 'step', image: 'busybox:1', command: ['true'] }] };
      await world.create(world.path('pods'), { metadata: { name }, spec });
      await executor.start(action);
      expect(await sink.end(action.key)).toMatchObject({
        error: { type: 'podNameTaken', message: expect.stringContaining(name), retryable: true },
      });
    });
  });

  describe('what it is given', () => {
    test('its script as it was written, an environment, a work directory of its own', async () => {
      const { sink, begin, world } = await ready();
      const script = `test $$ -gt 1; echo "$(basename "$PWD") $GREETING $(id -u):$(id -g) $HOME $$(true)" | sed 's/ [0-9]*$//'
[ "$(pwd)" = "$HOME" ]; touch x; echo "$WINDLASS_STEP $WINDLASS_NAMESPACE $WINDLASS_ATTEMPT_NUMBER"`;
      const action = await begin(world.script(script, { env: { GREETING: 'a $(HOME) $$ "b"' } }));
      expect(await sink.end(action.key)).toMatchObject({ outcome: 'Succeeded' });
      expect(sink.text(action.key).split('\n')[0]).toContain('work a $(HOME) $$ "b" 65532:65532 /windlass/work');
      expect(sink.text(action.key)).toContain(`work ${world.namespace} 1\n`);
    });

    test('the files of its version, in its work directory and at $WINDLASS_FILES', async () => {
      const { run, world } = await ready();
      world.files.set('fetch.sh', Buffer.from('#!/bin/sh\necho "rows=7" >> "$WINDLASS_OUTPUT"\n'));
      world.files.set('prompts/deep/a b.md', Buffer.from([0xff, 0xfe, 0x00, 0x0a]));
      const script = `./fetch.sh; [ "$(wc -c < 'prompts/deep/a b.md')" = 4 ]; cmp fetch.sh "$WINDLASS_FILES/fetch.sh"; echo >> fetch.sh
[ "$(find . -type f | wc -l)" = 2 ]; [ "$(find . -type l | wc -l)" = 0 ]`;
      expect(await run(world.script(script))).toEqual({ outcome: 'Succeeded', outputs: { text: 'rows=7\n' } });
      expect(await run(world.script(script))).toMatchObject({ outcome: 'Succeeded' });
      const { items } = await world.client.request<{ items: { immutable?: boolean }[] }>(
        'GET',
        world.path('configmaps'),
        {
          query: { labelSelector: 'windlass.dev/files' },
        },
      );
      expect(items).toMatchObject([{ immutable: true }]);
    });

    test('secrets, which are hidden in its log and refused in its outputs', async () => {
      const { sink, begin, world } = await ready();
      const value = 'hunter2-hunter2';
      await world.create(world.path('secrets'), { metadata: { name: 'orders-api' }, stringData: { token: value } });
      world.secrets.set('orders-api/token', value);
      const secrets = { TOKEN: { name: 'orders-api', key: 'token' } };
      const shown = await begin(world.script('echo "token $TOKEN"; [ ${#TOKEN} = 15 ]', { secrets }));
      expect(await sink.end(shown.key)).toMatchObject({ outcome: 'Succeeded' });
      expect(sink.text(shown.key)).toBe('token ***\n');
      expect(sink.unmaskedSecrets).toEqual([]);
      const leaked = await begin(world.script('echo "t=$TOKEN" > "$WINDLASS_OUTPUT"', { secrets }));
      expect(await sink.end(leaked.key)).toMatchObject({ error: { type: 'secretInOutput', retryable: false } });
    });

    test('secrets that the controller may not read: its log shows them, and that is said', async () => {
      const { sink, begin, world, executor } = await ready();
      await world.create(world.path('secrets'), {
        metadata: { name: 'kept' },
        stringData: { token: 'hunter2-hunter2' },
      });
      const secrets = { A: { name: 'kept', key: 'token' }, B: { name: 'kept', key: 'token' } };
      const shown = await begin(world.script('echo "$A"; sleep 2', { secrets }));
      await sink.until(() => sink.unmaskedSecrets.length > 0);
      expect(sink.endsOf(shown.key)).toEqual([]);
      await executor.close();
      await world.executor().start(shown);
      expect(await sink.end(shown.key)).toMatchObject({ outcome: 'Succeeded' });
      expect(sink.text(shown.key)).toBe('hunter2-hunter2\n');
      // Again by whoever took it over: the run may not have heard it.
      expect(sink.unmaskedSecrets).toEqual([1, 2].map(() => ({ key: shown.key, secrets: ['kept'] })));
      const missing = await world.owned(
        startAction(world.script('true', { secrets: { A: { name: 'none', key: 'k' } } })),
      );
      await world.executor().start(missing);
      expect(await sink.end(missing.key)).toMatchObject({ error: { type: 'configError' } });
      expect(sink.unmaskedSecrets).toHaveLength(2);
    });

    test('its image, by digest; none when it never began', async () => {
      const { sink, run, world } = await ready();
      await run(world.script('exit 3'));
      await run(world.script('true', {}, { image: 'Upper' }));
      expect(sink.ends.map(({ imageId }) => imageId)).toEqual([expect.stringMatching(/sha256:[0-9a-f]{64}$/), null]);
    });

    test('a volume, labels, and what else its template says', async () => {
      const { sink, begin, world } = await ready();
      const settings = {
        volumes: [{ name: 'data', mountPath: '/data', emptyDir: { medium: 'Memory' } }],
        podTemplate: {
          metadata: { labels: { team: 'a' } },
          spec: {
            hostAliases: [{ ip: '10.1.2.3', hostnames: ['orders'] }],
            containers: [{ name: 'step', tty: false, env: [{ name: 'A', value: 'b' }] }],
          },
        },
        resources: { requests: { cpu: '10m' } },
      };
      const action = await begin(world.script('echo x > /data/x; grep orders /etc/hosts; echo $A', {}, settings));
      expect(await sink.end(action.key)).toMatchObject({ outcome: 'Succeeded' });
      expect(sink.text(action.key)).toBe('10.1.2.3\torders\nb\n');
      const [pod] = [...world.pods.values()];
      expect(pod?.metadata.labels).toMatchObject({ team: 'a', 'windlass.dev/step': 'work' });
    });
  });

  describe('outputs', () => {
    test.each([
      ['none', ':', ''],
      ['text that is not ASCII', 'printf "a=Grüße 🎉\\n" >> "$WINDLASS_OUTPUT"', 'a=Grüße 🎉\n'],
      ['just what a message holds', `head -c 4095 /dev/zero | tr "\\0" x > "$WINDLASS_OUTPUT"`, 'x'.repeat(4095)],
      ['one more', `head -c 4096 /dev/zero | tr "\\0" x > "$WINDLASS_OUTPUT"`, 'x'.repeat(4096)],
      [
        'with a log that ends in the middle of a line',
        `printf "no end"; head -c 9000 /dev/zero | tr "\\0" x > "$WINDLASS_OUTPUT"`,
        'x'.repeat(9000),
      ],
      [
        'with something left behind that writes on',
        `yes noise & head -c 30000 /dev/zero | tr "\\0" x > "$WINDLASS_OUTPUT"; sleep 0.2`,
        'x'.repeat(30000),
      ],
    ])('%s', async (_, script, text) => {
      const { run, world } = await ready();
      expect(await run(world.script(script))).toEqual({ outcome: 'Succeeded', outputs: { text } });
    });

    test('leave no trace in the log', async () => {
      const { sink, begin, world } = await ready();
      const action = await begin(world.script('printf "no end"; head -c 9000 /dev/zero > "$WINDLASS_OUTPUT"'));
      await sink.end(action.key);
      expect(sink.text(action.key).trimEnd()).toBe('no end');
    });

    test('more than 16 MiB are refused', async () => {
      const { run, world } = await ready();
      expect(await run(world.script('head -c 17000000 /dev/zero > "$WINDLASS_OUTPUT"'))).toMatchObject({
        error: { type: 'output', retryable: false },
      });
    });
  });

  describe('the log', () => {
    test('comes while it runs', async () => {
      const { sink, executor, begin, world } = await ready();
      const action = await begin(world.script('echo one; sleep 1000'));
      await sink.until(() => sink.text(action.key) === 'one\n');
      expect(sink.ends).toEqual([]);
      await executor.stop(stopAction(action, 1000));
      await sink.end(action.key);
    });

    test('is whole when the Pod dies at once, both streams in order', async () => {
      const { sink, begin, world } = await ready();
      const action = await begin(
        world.script('i=0; while [ $i -lt 3000 ]; do echo "out $i"; echo "err $i" >&2; i=$((i+1)); done; exit 1'),
      );
      await sink.end(action.key);
      const lines = Array.from({ length: 3000 }, (_, i) => `out ${i}\nerr ${i}\n`).join('');
      expect(sink.text(action.key)).toBe(lines);
    });

    test('long lines, and lines without an end, stay what they are', async () => {
      const { sink, begin, world } = await ready();
      const action = await begin(world.script('head -c 100000 /dev/zero | tr "\\0" y; echo; printf end'));
      await sink.end(action.key);
      expect(sink.text(action.key).trimEnd()).toBe(`${'y'.repeat(100_000)}\nend`);
    });

    test('is cut with a notice, and the step runs on', async () => {
      const { sink, world } = await ready();
      const executor = world.executor({ logBytes: 1000 });
      const action = await world.owned(
        startAction(
          world.script(
            'i=0; while [ $i -lt 1000 ]; do echo "line $i"; i=$((i+1)); done; echo a=1 > "$WINDLASS_OUTPUT"',
          ),
        ),
      );
      await executor.start(action);
      expect(await sink.end(action.key)).toEqual({ outcome: 'Succeeded', outputs: { text: 'a=1\n' } });
      expect(sink.text(action.key)).toMatch(/the log is cut here after 1000 bytes; the step runs on\n$/);
      expect(sink.text(action.key).length).toBeLessThan(1200);
    });
  });

  describe('with another controller', () => {
    test('what runs is adopted, and its log goes on where it was', async () => {
      const { sink, executor, begin, world } = await ready();
      const action = await begin(
        world.script('echo one; while [ ! -e go ]; do sleep 0.1; done; echo two; echo a=1 > "$WINDLASS_OUTPUT"'),
      );
      await sink.until(() => sink.text(action.key) === 'one\n');
      await executor.close();
      const next = world.executor();
      await next.sweep(async () => [action.key]);
      await next.start({ ...action, startedAt: Date.now() - 3_600_000 });
      await exec(world, 'touch /windlass/work/go');
      expect(await sink.end(action.key)).toEqual({ outcome: 'Succeeded', outputs: { text: 'a=1\n' } });
      expect(sink.text(action.key)).toBe('one\ntwo\n');
      expect(world.began.size).toBe(1);
    });

    test('what ended meanwhile is reported as it ended, and when', async () => {
      const { sink, executor, begin, world } = await ready();
      const action = await begin(world.script('echo bye; exit 4'));
      await executor.close();
      const pod = await world.pod((p) => stepStatus(p)?.state?.terminated !== undefined);
      await world.executor().start(action);
      expect(await sink.end(action.key)).toMatchObject({
        error: { type: 'exit', exitCode: 4, message: 'exit code 4: bye' },
      });
      expect(sink.instantsOf(action.key)).toEqual([Date.parse(stepStatus(pod)?.state?.terminated?.finishedAt ?? '')]);
    });

    test('what is gone is lost, and never begun again', async () => {
      const { sink, world } = await ready();
      const action = await world.owned(startAction(world.script('true')));
      await world.executor().start({ ...action, startedAt: Date.now() - 60_000 });
      expect(await sink.end(action.key)).toMatchObject({ error: { type: 'infrastructure/lost', retryable: true } });
      expect(world.pods.size).toBe(0);
    });

    test('what nobody wants any more is swept, and what it ran ends', async () => {
      const { sink, executor, begin, world } = await ready();
      const action = await begin(world.script('echo begun; sleep 1000'));
      await sink.until(() => sink.text(action.key) === 'begun\n');
      await executor.close();
      await world.executor().sweep(async () => []);
      await world.until(() => world.pods.size === 0);
      expect(sink.ends).toEqual([]);
    });
  });

  describe('stopping', () => {
    test('gives it its grace', async () => {
      const { sink, executor, begin, world } = await ready();
      const action = await begin(world.script('trap "echo bye; exit 0" TERM; echo begun; while :; do sleep 0.1; done'));
      await sink.until(() => sink.text(action.key) === 'begun\n');
      await executor.stop(stopAction(action, 10_000));
      expect(await sink.end(action.key)).toEqual({ outcome: 'Stopped' });
      expect(sink.text(action.key)).toMatch(/^begun\n(Terminated\n)?bye\n$/);
    });

    test('does not wait for what does not listen', async () => {
      const { sink, executor, begin, world } = await ready();
      const action = await begin(world.script('trap "" TERM; echo begun; while :; do sleep 0.1; done'));
      await sink.until(() => sink.text(action.key) === 'begun\n');
      await executor.stop(stopAction(action, 1000));
      expect(await sink.end(action.key)).toEqual({ outcome: 'Stopped' });
    });
  });

  /** Makes a file that a script waits for. */
  async function exec(world: PodWorld, command: string): Promise<void> {
    if (!cluster) throw new Error('there is no cluster');
    const [pod] = [...world.pods.values()];
    await kubectlOrThrow(cluster, ['-n', world.namespace, 'exec', pod?.metadata.name ?? '', '--', 'sh', '-c', command]);
  }
});
