import { join } from 'node:path';
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { kinds } from '../../crds/kinds.ts';
import { crdManifest } from '../../crds/manifest.ts';
import type { Promotion } from '../../crds/promotion.ts';
import type { WorkflowRun } from '../../crds/workflow-run.ts';
import { type MixedWorld, reasonOf, startMixedWorld } from '../fixtures/mixed-world.ts';
import { quickstartRepository } from '../fixtures/controller.ts';
import { type Finished, install, kubectl, kubectlOrThrow, manifest } from '../fixtures/kubectl.ts';
import { type Cluster, startApiServer } from '../fixtures/kubernetes.ts';

const server = await startApiServer();
const namespace = 'team';
const policyFile = new URL('../../charts/windlass/files/approvals-policy.yaml', import.meta.url);

interface Entry {
  step?: string;
  user: string;
  groups?: string[];
  decision: 'Approve' | 'Reject';
  comment?: string;
  at?: string;
}
const ann: Entry = { user: 'ann', groups: ['ops'], decision: 'Approve' };
const bob: Entry = { user: 'bob', groups: ['ops'], decision: 'Approve' };

function cluster(): Cluster {
  if (!server) throw new Error('there is no API server');
  return server;
}

const as = (user: string, ...groups: string[]) => [
  '--as',
  user,
  ...['system:authenticated', ...groups].flatMap((group) => ['--as-group', group]),
];

/** Writes all entries of an object, as this person. */
async function write(who: string[], approvals: Entry[] | null, name = 'wpro/one'): Promise<Finished> {
  const text = await kubectlOrThrow(cluster(), ['get', name, '-n', namespace, '-o', 'json']);
  const present = JSON.parse(text) as { metadata: { resourceVersion?: string }; spec: { approvals?: Entry[] } };
  delete present.metadata.resourceVersion;
  if (approvals === null) delete present.spec.approvals;
  else present.spec.approvals = approvals;
  return await kubectl(cluster(), [...who, 'replace', '-f', '-'], JSON.stringify(present));
}

async function reset(entries: [who: string[], entries: Entry[]][], object = 'wpro/one'): Promise<void> {
  const [kind = '', name = ''] = object.split('/');
  await kubectl(cluster(), ['delete', kind, name, '-n', namespace, '--ignore-not-found']);
  const spec = kind === 'wpro' ? { environment: 'prod', ref: 'v0.0.1' } : { workflow: 'report' };
  await kubectlOrThrow(
    cluster(),
    ['create', '-f', '-'],
    JSON.stringify({
      apiVersion: 'windlass.dev/v1alpha1',
      kind: kind === 'wpro' ? 'Promotion' : 'WorkflowRun',
      metadata: { name, namespace },
      spec,
    }),
  );
  const all: Entry[] = [];
  for (const [who, more] of entries) {
    all.push(...more);
    expect(await write(who, all, object)).toMatchObject({ code: 0, stderr: '' });
  }
}

/** The API server compiles policies when it sees them, and says so nowhere: whether one is in force only a try tells. */
async function inForce(): Promise<void> {
  const deadline = performance.now() + 20_000;
  for (;;) {
    await reset([]);
    if ((await write(as('ann'), [{ user: 'nobody', decision: 'Approve' }])).code !== 0) return;
    if (performance.now() > deadline) throw new Error('the policy does not come into force');
  }
}

async function installPolicy(): Promise<void> {
  // What somebody else added to a list would stay there.
  await kubectlOrThrow(cluster(), ['delete', '--ignore-not-found', '-f', '-'], await readFile(policyFile));
  await kubectlOrThrow(
    cluster(),
    ['apply', '--server-side', '--force-conflicts', '-f', '-'],
    await readFile(policyFile),
  );
}

beforeAll(async () => {
  if (!server) return;
  const rule = (resources: string[], verbs: string[]) => ({ apiGroups: ['windlass.dev'], resources, verbs });
  const role = (name: string, rules: object[], users: string[]) => [
    { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role', metadata: { name, namespace }, rules },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata: { name, namespace },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name },
      subjects: users.map((user) => ({ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: user })),
    },
  ];
  await install(server, [
    ...Object.values(kinds).map(crdManifest),
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'prod', labels: { 'windlass.dev/project': namespace } } },
    ...role(
      'writers',
      [rule(['promotions', 'workflowruns'], ['get', 'patch', 'update', 'create'])],
      ['ann', 'bob', 'eve'],
    ),
    ...role('approvers', [{ ...rule(['environments'], ['approve']), resourceNames: ['prod'] }], ['ann', 'bob']),
  ]);
  await installPolicy();
  await inForce();
});
afterAll(() => server?.stop());

// oxlint-disable-next-line vitest/expect-expect
describe.skipIf(!server)('the approvals of a promotion', () => {
  const asAnn = as('ann', 'ops', 'dev');
  const asBob = as('bob', 'ops');

  test('an entry of oneself is taken, also beside those of others, changed, and taken back', async () => {
    await reset([
      [asAnn, [ann]],
      [asBob, [bob]],
    ]);
    expect(await write(asAnn, [{ ...ann, decision: 'Reject', comment: 'no' }, bob])).toMatchObject({ code: 0 });
    expect(await write(asAnn, [bob])).toMatchObject({ code: 0 });
    expect(await write(asBob, null)).toMatchObject({ code: 0 });
  });

  const own = 'only entries of your own may be added, changed or taken out; you are ann';
  test.each<[string, string[], Entry[] | null, string]>([
    ['in the name of another', asAnn, [bob, { ...ann, user: 'carl' }], own],
    ['that takes one of another out', asAnn, [ann], own],
    ['that takes all out', asAnn, null, own],
    ['that changes one of another', asAnn, [{ ...bob, decision: 'Reject' }], own],
    ['that gives another a group', asAnn, [{ ...bob, groups: ['ops', 'lead'] }], own],
    ['with a group one is not in', asAnn, [bob, { ...ann, groups: ['ops', 'lead'] }], 'only name groups of yours'],
    ['without the verb approve', as('eve', 'ops'), [bob, { ...ann, user: 'eve' }], 'eve may not approve'],
    // Administrators may do anything but be somebody else.
    ['of an administrator in the name of another', [], [bob, ann], 'you are admin'],
    ['of system:masters in the name of another', as('root', 'system:masters'), [bob, ann], 'you are root'],
  ])('an entry is refused: %s', async (_, who, entries, message) => {
    await reset([[asBob, [bob]]]);
    const refused = await write(who, entries);
    expect(refused.stderr).toContain(message);
    expect(refused.code).toBe(1);
  });

  test('an object is not made with entries of others', async () => {
    const object = (user: string) =>
      JSON.stringify({
        apiVersion: 'windlass.dev/v1alpha1',
        kind: 'Promotion',
        metadata: { generateName: 'made-', namespace },
        spec: { environment: 'prod', ref: 'v1.0.0', approvals: [{ user, decision: 'Approve' }] },
      });
    const refused = await kubectl(cluster(), [...asAnn, 'create', '-f', '-'], object('bob'));
    expect(refused.stderr).toContain(own);
    const taken = await kubectl(cluster(), [...asAnn, 'create', '-f', '-'], object('ann'));
    expect(taken).toMatchObject({ code: 0 });
    await kubectlOrThrow(cluster(), ['delete', taken.stdout.split(' ')[0] ?? '', '-n', namespace]);
  });

  test('as many entries as the schema takes can be judged', async () => {
    const groups = Array.from({ length: 100 }, (_, i) => `group-${i}-${'x'.repeat(40)}`);
    const many = Array.from({ length: 99 }, (_, i): Entry => ({ ...ann, groups, comment: `${i}` }));
    const batches = Array.from({ length: 11 }, (_, i) => many.slice(i * 9, i * 9 + 9));
    await reset(batches.map((batch) => [as('ann', ...groups), batch]));
    expect(await write(asBob, [...many, bob])).toMatchObject({ code: 0 });
    expect((await write(asBob, [...many.slice(1), bob])).stderr).toContain('you are bob');
  });

  test('whoever may not approve may do all else', async () => {
    await reset([[asBob, [bob]]]);
    const label = [...as('eve'), 'patch', 'wpro', 'one', '-n', namespace, '--type=merge', '-p'];
    expect(await kubectl(cluster(), [...label, '{"metadata":{"labels":{"seen":"yes"}}}'])).toMatchObject({ code: 0 });
  });

  test('the approvals of a run are held by the same rules', async () => {
    const entry = (user: string, groups: string[]) => ({ step: 'approve', user, groups, decision: 'Approve' as const });
    await reset([[asBob, [entry('bob', ['ops'])]]], 'wrun/one');
    const run = (entries: Entry[]) => write(asAnn, entries, 'wrun/one');
    expect(await run([entry('bob', ['ops']), entry('ann', ['dev'])])).toMatchObject({ code: 0 });
    expect((await run([entry('bob', ['ops']), entry('ann', ['lead'])])).stderr).toContain('only name groups of yours');
    expect((await run([entry('carl', [])])).stderr).toContain(own);
  });
});

describe.skipIf(!server)('a controller that promotes by approval', () => {
  const environment = {
    source: { name: 'repo' },
    track: { tag: { semver: '>=1.0.0' } },
    promote: 'Manual',
    gates: [{ approval: { groups: ['ops'], notAuthor: true } }],
  };
  let world: MixedWorld;
  beforeAll(async () => {
    if (!server) return;
    world = await startMixedWorld(server);
    const repository = await quickstartRepository(join(world.directory, 'repository'));
    for (const tag of ['v1.0.0', 'v1.1.0', 'v1.2.0', 'v1.3.0', 'v1.4.0', 'v1.5.0']) {
      await repository.commit({ 'note.txt': tag, [`workflows/w${tag.replaceAll('.', '')}.yaml`]: workflow(tag) }, tag);
      await repository.tag(tag);
    }
    await install(server, [
      object('WorkflowSource', 'repo', { url: repository.url, branch: 'main' }),
      object('Environment', 'prod', environment),
    ]);
  });
  afterAll(() => world?.stop());

  const gateOf = ({ status }: Promotion) => status?.gates?.find(({ gate }) => gate === 'approval')?.message ?? '';
  const says = (text: string) => (promotion: Promotion) => gateOf(promotion).includes(text);
  const promote = (name: string, ref: string) =>
    install(cluster(), [object('Promotion', name, { environment: 'prod', ref })]);

  test('holds while an author maps to nobody, and while the approver is the author', async () => {
    await promote('first', 'v1.0.0');
    await write(as('ann', 'ops'), [ann], 'wpro/first');
    await world.object(
      'Promotion',
      namespace,
      'first',
      says('ada@example.com wrote some of it and may be any approver'),
    );
    await identities('ada@example.com: ann');
    await world.object('Promotion', namespace, 'first', says('ann wrote some of it'));
    await write(as('bob', 'ops'), [ann, bob], 'wpro/first');
    const done = await world.object('Promotion', namespace, 'first', ({ status }) => status?.phase === 'Succeeded');
    expect(gateOf(done)).toBe('1 of 1 approvals from ops (bob); not counted: ann wrote some of it.');
  });

  test('a step that asks for approval waits on while the policy is not there, and says so', async () => {
    const steps = [{ name: 'approve', approval: { groups: ['ops'] } }];
    await install(cluster(), [object('Workflow', 'asks', { steps })]);
    await install(cluster(), [object('WorkflowRun', 'asked', { workflow: 'asks' })]);
    const run = (isSo: (run: WorkflowRun) => boolean) => world.object('WorkflowRun', namespace, 'asked', isSo);
    await run((seen) => reasonOf(seen, 'WaitingForApproval') !== undefined);
    await kubectlOrThrow(cluster(), ['delete', 'validatingadmissionpolicybinding', 'windlass-approvals']);
    await write(as('bob', 'ops'), [{ ...bob, step: 'approve' }], 'wrun/asked');
    const held = await run(({ status }) => status?.observedGeneration === 2);
    const waiting = held.status?.conditions?.find(({ type }) => type === 'WaitingForApproval');
    expect(waiting?.message).toContain('there is no ValidatingAdmissionPolicyBinding windlass-approvals');
    expect(held.status?.reason).toBe('ApprovalsNotBelieved');
    await installPolicy();
    // At first it does not say whether the next would count; it does 5 s after the policy was seen.
    const says = (text: string) => (seen: WorkflowRun) =>
      seen.status?.conditions?.some(
        ({ type, message }) =>
          type === 'WaitingForApproval' && message.includes(text) && !message.includes('wait 10 s'),
      ) ?? false;
    const doubted = await run(says("bob's approval was written while the policy was not in force"));
    expect(doubted.status?.finishedAt).toBeUndefined();
    const again = { ...bob, step: 'approve', at: new Date().toISOString() };
    expect(await write(as('bob', 'ops'), [again], 'wrun/asked')).toMatchObject({ code: 0 });
    const done = await run(({ status }) => status?.finishedAt !== undefined);
    expect(done.status?.phase).toBe('Succeeded');
  });

  test.each([
    [
      'is not there',
      'v1.1.0',
      () => ['delete', 'validatingadmissionpolicy', 'windlass-approvals'],
      'there is no Valid',
    ],
    [
      'is not bound to deny',
      'v1.2.0',
      () => patch('binding', 'merge', { spec: { validationActions: ['Audit'] } }),
      'ValidatingAdmissionPolicyBinding windlass-approvals is not the one that was shipped',
    ],
    [
      'was made to exempt somebody',
      'v1.3.0',
      () => patch('', 'json', [{ op: 'add', path: '/spec/matchConditions/-', value: notEve }]),
      'ValidatingAdmissionPolicy windlass-approvals is not the one that was shipped',
    ],
  ])(
    'holds every approval gate while the policy %s, and doubts what was written meanwhile when it is back',
    async (what, ref, change, message) => {
      await identities('ada@example.com: ada');
      const name = `while-${what.replaceAll(' ', '-')}`;
      await kubectlOrThrow(cluster(), change());
      await promote(name, ref);
      await writeForged(`wpro/${name}`);
      const held = await world.object('Promotion', namespace, name, says(message));
      expect(held.status?.phase).toBe('Gating');
      expect(reasonOf(held, 'Ready')).toBe('WaitingForApproval');
      await installPolicy();
      await approvedAgain(name);
    },
  );

  test('doubts what was written while no policy and no controller were there', async () => {
    await promote('unseen', 'v1.4.0');
    await world.object('Promotion', namespace, 'unseen', says('0 of 1 approvals'));
    await world.stop({ keep: true });
    await kubectlOrThrow(cluster(), ['delete', 'validatingadmissionpolicybinding', 'windlass-approvals']);
    await writeForged('wpro/unseen');
    await installPolicy();
    await inForce();
    world = await startMixedWorld(cluster(), world.directory);
    await approvedAgain('unseen');
  });

  test('what was approved before the policy was changed stays; right after the change nobody knows, and is told to wait', async () => {
    await promote('kept', 'v1.5.0');
    await world.object('Promotion', namespace, 'kept', says('0 of 1 approvals'));
    const two = { ...environment, gates: [{ approval: { groups: ['ops'], count: 2 } }] };
    await install(cluster(), [object('Environment', 'prod', two)]);
    await write(as('bob', 'ops'), [bob], 'wpro/kept');
    await world.object('Promotion', namespace, 'kept', says('1 of 2 approvals from ops (bob)'));
    await kubectlOrThrow(cluster(), patch('', 'json', [{ op: 'add', path: '/spec/matchConditions/-', value: notEve }]));
    await world.object('Promotion', namespace, 'kept', says('is not the one that was shipped'));
    await kubectlOrThrow(cluster(), patch('', 'json', [{ op: 'remove', path: '/spec/matchConditions/1' }]));
    await world.object('Promotion', namespace, 'kept', says('1 of 2 approvals from ops (bob)'));
    await write(as('ann', 'ops'), [bob, ann], 'wpro/kept');
    const again = "ann's approval was written while the policy was not in force, or not known to be: remove it and ";
    await world.object('Promotion', namespace, 'kept', says(`${again}wait 10 s and approve again`));
    await world.object('Promotion', namespace, 'kept', says(`${again}approve again`));
    await write(as('ann', 'ops'), [bob, { ...ann, at: new Date().toISOString() }], 'wpro/kept');
    await world.object('Promotion', namespace, 'kept', ({ status }) => status?.phase === 'Succeeded');
  });

  /** The API server goes by the policy it knew for a moment after it was removed or changed. */
  async function writeForged(name: string): Promise<void> {
    const deadline = performance.now() + 20_000;
    while ((await write(as('eve'), [bob], name)).code !== 0) {
      if (performance.now() > deadline) throw new Error('the policy stays in force');
    }
  }

  /** The entry of bob is doubted, and counts once bob has written it anew. */
  async function approvedAgain(name: string): Promise<void> {
    const doubted = "bob's approval was written while the policy was not in force";
    const seen = await world.object(
      'Promotion',
      namespace,
      name,
      (promotion) => says(doubted)(promotion) && !says('wait 10 s')(promotion),
    );
    expect(seen.status?.phase).toBe('Gating');
    const again = { ...bob, at: new Date().toISOString() };
    expect(await write(as('bob', 'ops'), [again], `wpro/${name}`)).toMatchObject({ code: 0 });
    await world.object('Promotion', namespace, name, ({ status }) => status?.phase === 'Succeeded');
  }
});

function object(kind: string, name: string, spec: object) {
  return manifest(kind, name, spec, namespace);
}

const notEve = { name: 'not-eve', expression: 'request.userInfo.username != "eve"' };

function patch(what: '' | 'binding', type: string, change: object): string[] {
  const name = `validatingadmissionpolicy${what}`;
  return ['patch', name, 'windlass-approvals', `--type=${type}`, '-p', JSON.stringify(change)];
}

function workflow(tag: string): string {
  const name = `w${tag.replaceAll('.', '')}`;
  return `apiVersion: windlass.dev/v1alpha1\nkind: Workflow\nmetadata: { name: ${name} }\nspec: { steps: [{ name: a, run: "true" }] }\n`;
}

async function identities(table: string): Promise<void> {
  await install(cluster(), [
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'windlass-identities', namespace }, data: { table } },
  ]);
}
