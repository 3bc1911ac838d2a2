import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { kinds } from '../../crds/kinds.ts';
import { crdManifest } from '../../crds/manifest.ts';
import type { RunningController } from '../../controller/start.ts';
import { startCluster } from '../../controller/start-cluster.ts';
import { type ClusterWorld, type RunObject, startClusterWorld } from '../fixtures/cluster-world.ts';
import { install, kubectl, kubectlOrThrow } from '../fixtures/kubectl.ts';
import { freePort } from '../fixtures/kubernetes.ts';
import { type KubernetesProxy, startKubernetesProxy } from '../fixtures/kubernetes-proxy.ts';

/*
 * Bad input, and a world that refuses: each has a condition and an Event that say what to do, nothing crashes and nothing
 * is lost. Here: what lint refuses, an unknown Workflow, a quota, Pod Security, missing Secrets, a namespace on its way out,
 * permissions taken away, a database that is down at start, older CRDs. Elsewhere:
 *   a namespace deleted with all that is in it           faults-nodes.test.ts (it takes a namespace controller)
 *   a Secret that a real kubelet misses                  pod.test.ts
 *   a database away while runs run, or restored          faults-database.test.ts
 *   CRDs that are missing                                faults.test.ts
 *   the chart's binding deleted, and nothing else        permissions.test.ts
 *   approvals that cannot be believed                    approvals.test.ts
 *   namespaces that do not agree, taken names, drift     environments.test.ts
 * and of the faults
 *   the API server restarted, watches cut, 429s, a Pod deleted by hand   faults-api.test.ts (the store alone: faults.test.ts)
 *   a controller killed, stalled or replaced             faults-controller.test.ts
 *   the leader killed or stalled                         faults-leader.test.ts
 *   a node lost                                          faults-nodes.test.ts (the executor alone: pod.nodes.test.ts)
 */

const started = await startClusterWorld();
const apiVersion = 'windlass.dev/v1alpha1';
let controller: RunningController;

beforeAll(async () => {
  if (!started) return;
  controller = await started.start(await started.database(), { stepImage: 'example.org/tools:1' });
});
afterAll(() => started?.stop());

function world(): ClusterWorld {
  if (!started) throw new Error('there is no API server');
  return started;
}

/** Names what is created in a namespace of its own. */
async function fresh() {
  const namespace = await world().namespace();
  return {
    namespace,
    apply: (kind: string, name: string, spec: object) =>
      world().kubectl(`apply -n ${namespace} -f -`, { apiVersion, kind, metadata: { name }, spec }),
    run: (name: string, spec: object = {}) =>
      world().kubectl(`create -n ${namespace} -f -`, {
        apiVersion,
        kind: 'WorkflowRun',
        metadata: { name },
        spec: { workflow: 'w', ...spec },
      }),
    /** Waits until an object has a condition of this reason, and returns it. */
    async condition(object: string, type: string, reason: string): Promise<Condition> {
      const path = `.status.conditions[?(@.type=="${type}")]`;
      const wait = ['wait', `--for=jsonpath={${path}.reason}=${reason}`, '-n', namespace, '--timeout=40s', object];
      const { code, stderr } = await kubectl(world().server, wait);
      const seen = await kubectlOrThrow(world().server, ['get', object, '-n', namespace, '-o', 'json']);
      if (code !== 0) throw new Error(`${stderr}; seen last: ${seen}`);
      const { status } = JSON.parse(seen) as RunObject;
      return status?.conditions?.find((one) => one.type === type) as Condition;
    },
    event: (name: string, reason: string) => world().event(namespace, name, reason),
    async finished(name: string) {
      await world().kubectl(`wait -n ${namespace} --for=condition=Finished --timeout=40s wrun/${name}`);
      return (await world().run(namespace, name))?.status;
    },
    pods: () => world().pods(namespace),
  };
}

type Condition = NonNullable<NonNullable<RunObject['status']>['conditions']>[number];

describe.skipIf(!started)('objects that the schema lets through', () => {
  test('a Workflow that lint refuses is Stalled with the diagnostics; its runs wait, and go on when it is corrected', async () => {
    const { apply, run, condition, event, pods, finished } = await fresh();
    const seen = await pods();
    const circle = [
      { name: 'a', run: 'true', needs: ['b'] },
      { name: 'b', run: 'true', needs: ['a'] },
    ];
    await apply('Workflow', 'w', { steps: circle });
    const stalled = await condition('workflow/w', 'Stalled', 'InvalidWorkflow');
    expect(stalled.message).toBe('spec.steps[0].name: steps need each other in a circle: a -> b -> a [cycle]');
    expect(await event('w', 'InvalidWorkflow')).toBe(stalled.message);

    await run('r');
    const waits = await condition('wrun/r', 'Reconciling', 'WorkflowInvalid');
    expect(waits.message).toContain(stalled.message);
    expect(await event('r', 'WorkflowInvalid')).toBe(waits.message);
    expect(seen.all()).toEqual([]);

    await apply('Workflow', 'w', { steps: [{ name: 'a', run: 'true' }] });
    await condition('workflow/w', 'Ready', 'Applied');
    await seen.ended(await seen.pod('r', 'a'));
    expect(await finished('r')).toMatchObject({ phase: 'Succeeded' });
  });

  test.each([
    ['WorkflowSource', { url: 'https://git.example/team', branch: 'main', path: '../up' }, 'spec.path', 'without ..'],
    ['WorkflowSource', { url: 'file:///srv/team', branch: 'main' }, '', 'https'],
    [
      'Environment',
      { source: { name: 'team' }, track: { tag: { semver: 'newest' } } },
      'spec.track.tag.semver',
      'no semver range',
    ],
  ])('a %s that lint refuses is Stalled with the diagnostics: %j', async (kind, spec, path, says) => {
    const { namespace, apply } = await fresh();
    await apply(kind, 'x', spec);
    await world().kubectl(`wait -n ${namespace} --for=condition=Stalled --timeout=40s ${kind}/x`);
    const { status } = JSON.parse(await world().kubectl(`get ${kind} x -n ${namespace} -o json`)) as RunObject;
    const stalled = status?.conditions?.find(({ type }) => type === 'Stalled');
    expect(stalled?.message).toContain(path);
    expect(stalled?.message).toContain(says);
    expect(await world().event(namespace, 'x', stalled?.reason ?? '')).toBe(stalled?.message);
  });

  test.each(['ssh://git@192.0.2.1/team.git', 'https://192.0.2.1/team.git'])(
    'a source whose Secret is missing: %s',
    async (url) => {
      const { namespace, apply, condition, event } = await fresh();
      await apply('WorkflowSource', 'x', { url, branch: 'main', secretRef: { name: 'git' } });
      const waits = await condition('wsrc/x', 'Reconciling', 'AuthenticationFailed');
      expect(waits.message).toContain(`There is no Secret git in namespace ${namespace}`);
      expect(waits.message).toContain('create it, labelled windlass.dev/use=allowed');
      expect(await event('x', 'AuthenticationFailed')).toBe(waits.message);
      const told = world().warnings.filter(({ key }) => key === `${namespace}/x`);
      expect(told).toEqual([expect.objectContaining({ reason: waits.message })]);
    },
  );

  test('a run of a Workflow that is not there waits for it, and says so', async () => {
    const { namespace, apply, run, condition, event, finished } = await fresh();
    await run('r');
    const waits = await condition('wrun/r', 'Reconciling', 'WorkflowNotFound');
    expect(waits.message).toBe(`there is no workflow w in namespace ${namespace}; apply it, or correct its name`);
    expect(await event('r', 'WorkflowNotFound')).toBe(waits.message);
    await apply('Workflow', 'w', { steps: [{ name: 'a', wait: { for: '1ms' } }] });
    expect(await finished('r')).toMatchObject({ phase: 'Succeeded' });
  });

  test('inputs that the workflow does not take', async () => {
    const { apply, run, condition, event } = await fresh();
    await apply('Workflow', 'w', {
      inputs: { region: { type: 'string', enum: ['eu', 'us'] } },
      steps: [{ name: 'a', wait: { for: '1ms' } }],
    });
    await run('r', { inputs: { region: 'mars' } });
    const failed = await condition('wrun/r', 'Stalled', 'Failed');
    expect(failed.message).toContain('region');
    expect(await event('r', 'RunFailed')).toBe(`run r failed: ${failed.message}`);
  });
});

describe.skipIf(!started)('what the cluster refuses', () => {
  const one = { steps: [{ name: 'a', run: 'true' }] };

  test('a full quota: the step is held until there is room', async () => {
    const { namespace, apply, run, condition, event, pods, finished } = await fresh();
    const hard = { pods: '0' };
    await install(world().server, [
      { apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name: 'few', namespace }, spec: { hard } },
    ]);
    // Without controllers nobody counts what is used.
    const status = JSON.stringify({ status: { hard, used: hard } });
    await world().kubectl(`patch quota few -n ${namespace} --subresource=status --type=merge -p ${status}`);
    await apply('Workflow', 'w', one);
    await run('r');
    const held = await condition('wrun/r', 'Reconciling', 'StepHeld');
    expect(held.message).toContain('step a cannot begin: pods "r-a-');
    expect(held.message).toContain('exceeded quota: few, requested: pods=1, used: pods=0, limited: pods=0');
    expect(held.message).toContain('It begins when other Pods have ended, or the quota is raised');
    expect(await event('r', 'StepHeld')).toBe(held.message);
    const uid = (await world().run(namespace, 'r'))?.metadata.uid;
    expect(world().warnings.filter(({ key }) => key === uid)).toEqual([
      expect.objectContaining({ msg: 'reconcile failed; it is tried again', reason: held.message }),
    ]);
    const seen = await pods();
    await world().kubectl(`delete quota few -n ${namespace}`);
    await seen.ended(await seen.pod('r', 'a'));
    expect(await finished('r')).toMatchObject({ phase: 'Succeeded' });
    expect(seen.of('r')).toEqual(['a/1']);
    expect(controller.url).not.toBe('');
  });

  test('Pod Security: the run fails, and says what may be changed', async () => {
    const { namespace, apply, run, condition, event } = await fresh();
    await world().kubectl(`label namespace ${namespace} pod-security.kubernetes.io/enforce=restricted`);
    await apply('Workflow', 'w', { steps: [{ name: 'a', run: 'true', security: 'baseline' }] });
    await run('r');
    const failed = await condition('wrun/r', 'Stalled', 'Failed');
    expect(failed.message).toContain('step a: pods "r-a-');
    expect(failed.message).toContain('violates PodSecurity "restricted:latest"');
    const label = `kubectl label namespace ${namespace} --overwrite pod-security.kubernetes.io/enforce=baseline`;
    expect(failed.message).toContain(`Let the step ask for less, or allow it in the namespace: ${label}`);
    expect(await event('r', 'RunFailed')).toBe(`run r failed: ${failed.message}`);
  });

  test('a Secret that a Pod needs is missing', async () => {
    const { namespace, apply, run, condition, event, pods } = await fresh();
    const seen = await pods();
    const secrets = { TOKEN: { name: 'api', key: 'token' } };
    await apply('Workflow', 'w', { steps: [{ name: 'a', run: 'true', secrets }] });
    await run('r');
    // As a kubelet says it.
    await seen.waiting(await seen.pod('r', 'a'), 'CreateContainerConfigError', 'secret "api" not found');
    const failed = await condition('wrun/r', 'Stalled', 'Failed');
    expect(failed.message).toBe(
      `step a: CreateContainerConfigError: secret "api" not found; create it in namespace ${namespace}, and the run again`,
    );
    expect(await event('r', 'RunFailed')).toBe(`run r failed: ${failed.message}`);
    expect(await world().kubectl(`get pods -n ${namespace}`)).toBe('');
  });

  test('a Secret that an http step needs is missing, or not for the controller', async () => {
    const { namespace, apply, run, condition, event } = await fresh();
    const secretHeaders = { authorization: { name: 'api', key: 'token' } };
    await apply('Workflow', 'w', { steps: [{ name: 'a', http: { url: 'https://192.0.2.1/', secretHeaders } }] });
    await run('r');
    const failed = await condition('wrun/r', 'Stalled', 'Failed');
    expect(failed.message).toBe(
      `step a: secret api has no key token in namespace ${namespace}; create it, labelled windlass.dev/use=allowed`,
    );
    expect(await event('r', 'RunFailed')).toBe(`run r failed: ${failed.message}`);
    await world().kubectl(`create secret generic api -n ${namespace} --from-literal=token=x`);
    await run('again');
    const refused = await condition('wrun/again', 'Stalled', 'Failed');
    expect(refused.message).toContain(`kubectl label secret api -n ${namespace} windlass.dev/use=allowed`);
    expect(await event('again', 'RunFailed')).toBe(`run again failed: ${refused.message}`);
  });

  test('an image that cannot be pulled for now: the run says so while it waits, by one Event, and goes on', async () => {
    const { namespace, apply, run, condition, event, pods, finished } = await fresh();
    const seen = await pods();
    await apply('Workflow', 'w', { steps: [{ name: 'a', run: 'true' }] });
    await run('r');
    const pod = await seen.pod('r', 'a');
    await seen.waiting(pod, 'ErrImagePull', 'dial tcp: i/o timeout');
    const waits = await condition('wrun/r', 'Reconciling', 'StepWaiting');
    expect(waits.message).toBe('step a waits: ErrImagePull: dial tcp: i/o timeout');
    expect(await event('r', 'StepWaiting')).toBe(waits.message);
    const { status } = (await world().run(namespace, 'r')) as RunObject;
    expect(status).toMatchObject({ phase: 'Running', progress: '0/1' });

    await seen.waiting(pod, 'ImagePullBackOff', 'Back-off pulling image');
    await seen.running(pod);
    await condition('wrun/r', 'Reconciling', 'Running');
    await seen.ended(pod);
    expect(await finished('r')).toMatchObject({ phase: 'Succeeded' });
    expect((await world().events(namespace, 'r')).filter((said) => said.startsWith('StepWaiting'))).toHaveLength(1);
  });

  test('a namespace that is being deleted with a run in it: the run ends, and says why', async () => {
    const { namespace, apply, run, condition, pods } = await fresh();
    const seen = await pods();
    const steps = [
      { name: 'a', run: 'true' },
      { name: 'b', run: 'true', needs: ['a'] },
    ];
    await apply('Workflow', 'w', { steps });
    await run('r');
    const pod = await seen.pod('r', 'a');
    // Without controllers it stays while it is being deleted, and takes nothing new: no Event either.
    await world().kubectl(`delete namespace ${namespace} --wait=false`);
    await seen.ended(pod);
    const failed = await condition('wrun/r', 'Stalled', 'Failed');
    expect(failed.message).toBe(`step b: namespace ${namespace} is being deleted; create the run in another one`);
    const told = await controller.store.events.list({ namespace, name: 'r' }, { limit: 10 });
    expect(told.at(-1)).toMatchObject({ reason: 'RunFailed', message: `run r failed: ${failed.message}` });
  });
});

describe.skipIf(!started)('permissions taken away while a run runs', () => {
  const rbac = 'rbac.authorization.k8s.io';
  const bind = (name: string) => ({
    apiVersion: `${rbac}/v1`,
    kind: 'ClusterRoleBinding',
    metadata: { name },
    roleRef: { apiGroup: rbac, kind: 'ClusterRole', name },
    subjects: [{ apiGroup: rbac, kind: 'User', name: 'limited' }],
  });
  const role = (name: string, rules: object[]) => ({
    apiVersion: `${rbac}/v1`,
    kind: 'ClusterRole',
    metadata: { name },
    rules,
  });
  const may = async (answer: 'yes' | 'no', what: string) => {
    while (
      (await kubectl(world().server, ['auth', 'can-i', ...what.split(' '), '-A', '--as=limited'])).stdout.trim() !==
      answer
    );
  };

  const own = { name: 'windlass-0', uid: 'u' };
  let proxy: KubernetesProxy;
  let home: string;

  beforeAll(async () => {
    await controller.stop(0);
    await install(world().server, [
      role('steps', [{ apiGroups: [''], resources: ['pods'], verbs: ['create'] }]),
      role('kinds', [{ apiGroups: ['windlass.dev'], resources: ['*'], verbs: ['*'] }]),
      role('rest', [
        { apiGroups: ['admissionregistration.k8s.io'], resources: ['*'], verbs: ['*'] },
        {
          apiGroups: [''],
          resources: ['pods', 'pods/log', 'configmaps', 'namespaces'],
          verbs: ['get', 'list', 'watch', 'delete'],
        },
      ]),
      role('events', [{ apiGroups: ['events.k8s.io'], resources: ['*'], verbs: ['*'] }]),
      ...['steps', 'kinds', 'rest', 'events'].map(bind),
    ]);
    await may('yes', 'create pods');
    await may('yes', 'watch pods');
    await may('yes', 'patch workflowruns.windlass.dev/status');
    proxy = await startKubernetesProxy(world().server.login('limited'));
    home = await world().namespace();
    controller = await world().start(await world().database(), {
      stepImage: 'example.org/tools:1',
      kubeConfig: proxy.kubeConfig,
      pod: { namespace: home, ...own },
    });
  });
  afterAll(async () => {
    await controller.stop(0);
    await proxy?.close();
  });

  const two = [
    { name: 'a', run: 'true' },
    { name: 'b', run: 'true', needs: ['a'] },
  ];

  test('to create Pods: the step is held until they are back', async () => {
    const { namespace, apply, run, condition, event, pods, finished } = await fresh();
    const seen = await pods();
    await apply('Workflow', 'w', { steps: two });
    await run('r');
    const pod = await seen.pod('r', 'a');
    await world().kubectl('delete clusterrolebinding steps');
    await may('no', 'create pods');
    await seen.ended(pod);
    const held = await condition('wrun/r', 'Reconciling', 'StepHeld');
    expect(held.message).toContain(
      'step b cannot begin: pods is forbidden: User "limited" cannot create resource "pods"',
    );
    expect(held.message).toContain(`Give the controller its role in namespace ${namespace} back`);
    expect(await event('r', 'StepHeld')).toBe(held.message);
    const { status } = (await world().run(namespace, 'r')) as RunObject;
    expect(status).toMatchObject({ phase: 'Running', progress: '1/2' });

    await install(world().server, [bind('steps')]);
    await seen.ended(await seen.pod('r', 'b'));
    expect(await finished('r')).toMatchObject({ phase: 'Succeeded', progress: '2/2' });
    expect(seen.of('r')).toEqual(['a/1', 'b/1']);
    expect((await world().events(namespace, 'r')).filter((said) => said.startsWith('StepHeld'))).toHaveLength(1);
  });

  const title = 'to see anything: not ready, an Event of the Pod says why, and all goes on when they are back';
  test(title, { timeout: 120_000 }, async () => {
    const { apply, run, pods, finished } = await fresh();
    const seen = await pods();
    await apply('Workflow', 'w', { steps: two });
    await run('r');
    const pod = await seen.pod('r', 'a');
    const readiness = async () => {
      const response = await fetch(`${controller.url}/readyz`);
      return ((await response.json()) as { reasons: string[] }).reasons;
    };
    await expect.poll(readiness, { timeout: 20_000 }).toEqual([]);
    await world().kubectl('delete clusterrolebinding kinds rest');
    await may('no', 'list workflowruns.windlass.dev');
    await may('no', 'list pods');
    // What is under way may go on for minutes; from here on it may not.
    proxy.cut();
    const cannot = (what: string) => expect.stringContaining(`User "limited" cannot list resource "${what}"`);
    const all = expect.arrayContaining([cannot('workflowruns'), cannot('environments'), cannot('pods')]);
    await expect.poll(readiness, { timeout: 20_000 }).toEqual(all);
    expect((await readiness())[0]).toContain('; give the controller its role back');
    await seen.ended(pod);

    expect(await world().event(home, own.name, 'NotReady')).toContain('; give the controller its role back');

    await install(world().server, [bind('kinds'), bind('rest')]);
    await seen.ended(await seen.pod('r', 'b'));
    expect(await finished('r')).toMatchObject({ phase: 'Succeeded', progress: '2/2' });
    expect(seen.of('r')).toEqual(['a/1', 'b/1']);
    await expect.poll(readiness, { timeout: 30_000 }).toEqual([]);
  });
});

describe.skipIf(!started)('a controller that cannot serve yet', () => {
  const own = { name: 'windlass-0', uid: 'u' };

  test('its database is down: an Event of its Pod says so', async () => {
    const home = await world().namespace();
    const nobody = `postgres://windlass@127.0.0.1:${await freePort()}/none`;
    const stopped = new AbortController();
    const starting = startCluster(world().options(nobody, { pod: { namespace: home, ...own } }), stopped.signal);
    expect(await world().event(home, own.name, 'NotReady')).toMatch(
      /^the database of DATABASE_URL cannot be used: connect ECONNREFUSED .*; start it, or correct the URL$/,
    );
    stopped.abort();
    expect(await starting).toBeNull();
  });

  test('its CRDs are older than it needs: an Event of its Pod says which; runs go on, and show it afterwards', async () => {
    const crd = 'workflowruns.windlass.dev';
    const path = '/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/revision';
    await world().kubectl(`patch crd ${crd} --type=json -p ${JSON.stringify([{ op: 'remove', path }])}`);
    const { namespace, apply, run, pods, finished } = await fresh();
    const late = await world().start(await world().database(), {
      stepImage: 'example.org/tools:1',
      pod: { namespace, ...own },
    });
    expect(await world().event(namespace, own.name, 'NotReady')).toBe(
      `the CRD ${crd} is older than this program: it lacks .status.revision; apply the CRDs of this version`,
    );
    const seen = await pods();
    await apply('Workflow', 'w', { steps: [{ name: 'a', run: 'true' }] });
    await run('r');
    await seen.ended(await seen.pod('r', 'a'));
    await install(world().server, [crdManifest(kinds.WorkflowRun)]);
    expect(await finished('r')).toMatchObject({ phase: 'Succeeded', progress: '1/1', revision: expect.any(Number) });
    expect(seen.of('r')).toEqual(['a/1']);
    await late.stop(0);
  });
});
