import { describe, expect, test } from 'vitest';
import type { JsonObject } from '../../../crds/json.ts';
import { buildPodSettings } from '../../core/plan/pod.ts';
import type { PodSettings } from '../../core/plan/types.ts';
import type { ResolvedBody } from '../../core/run/types.ts';
import type { StartAction } from '../../seams/executor.ts';
import { podManifest } from './manifest.ts';
import { attemptHash, podName } from './names.ts';
import { lendsAccount, privilegesIn } from './permissions.ts';
import { wrapper } from './wrapper.ts';

type RunBody = Extract<ResolvedBody, { kind: 'run' }>;

const key = { runId: '0f9b6a34-3b1c-4b0e-9c55-7d5a5d4b3c2a', step: 'per_shop', item: -1, attempt: 2 };

function manifestOf(body: Partial<RunBody> = {}, pod: Partial<PodSettings> = {}, files: string[] = []) {
  const run: RunBody = {
    kind: 'run',
    script: 'echo "$HOME"',
    shell: ['sh', '-ec'],
    env: {},
    secrets: {},
    pod: { ...buildPodSettings({ name: 'per_shop' }, undefined), ...pod },
    ...body,
  };
  const action: StartAction = {
    type: 'Start',
    key,
    namespace: 'dev',
    runName: 'nightly-report-x7k2p',
    owner: { uid: key.runId, name: 'nightly-report-x7k2p' },
    workflow: 'nightly-report',
    digest: 'sha256:0123',
    startedAt: 0,
    artifacts: { out: {}, in: {} },
    effect: 'main/0/1',
    body: run,
  };
  const items = files.map((path, i) => ({ key: `f${i}`, path }));
  const manifest = podManifest(action, run, {
    image: 'busybox:1',
    files: files.length === 0 ? null : { configMap: 'windlass-files-ab', items },
  });
  const spec = manifest['spec'] as JsonObject;
  return { manifest, spec, container: (spec['containers'] as JsonObject[])[0] as JsonObject };
}

function envOf(container: JsonObject): Record<string, unknown> {
  const env = container['env'] as { name: string; value?: string; valueFrom?: unknown }[];
  return Object.fromEntries(env.map(({ name, value, valueFrom }) => [name, value ?? valueFrom]));
}

describe('the Pod of an attempt', () => {
  test('is owned by its run, named by its attempt, restricted, and has one container', () => {
    const { manifest, spec, container } = manifestOf();
    expect(manifest).toMatchObject({
      metadata: {
        name: `nightly-report-x7k2p-per-shop-${attemptHash(key).slice(0, 12)}`,
        namespace: 'dev',
        labels: { 'app.kubernetes.io/managed-by': 'windlass', 'windlass.dev/attempt': attemptHash(key) },
        ownerReferences: [
          {
            apiVersion: 'windlass.dev/v1alpha1',
            kind: 'WorkflowRun',
            uid: key.runId,
            controller: true,
            blockOwnerDeletion: false,
          },
        ],
      },
    });
    expect(spec).toMatchObject({
      restartPolicy: 'Never',
      automountServiceAccountToken: false,
      securityContext: {
        runAsNonRoot: true,
        runAsUser: 65532,
        runAsGroup: 65532,
        fsGroup: 65532,
        seccompProfile: { type: 'RuntimeDefault' },
      },
    });
    expect(spec['containers']).toHaveLength(1);
    expect(spec['initContainers']).toBeUndefined();
    expect(container['securityContext']).toEqual({ allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } });
  });

  test('gets its script and values as they were written, though Kubernetes replaces $(NAME)', () => {
    const { container } = manifestOf({ script: 'echo $(date) $$ $HOME', env: { A: '$(B) $$' } });
    const expand = (text: string) => text.replaceAll('$$', '$');
    const command = container['command'] as string[];
    expect(command.map(expand)).toEqual(['sh', '-c', wrapper, 'windlass', 'sh', '-ec', 'echo $(date) $$ $HOME']);
    expect(command.at(-1)).toBe('echo $$(date) $$$$ $$HOME');
    expect(expand(String(envOf(container)['A']))).toBe('$(B) $$');
  });

  test('knows its run, and its secrets by reference only', () => {
    const { manifest, container } = manifestOf({
      env: { TOKEN: 'overridden', WINDLASS_RUN: 'forged', HOME: '/elsewhere' },
      secrets: { TOKEN: { name: 'orders-api', key: 'token' } },
    });
    const names = (container['env'] as { name: string }[]).map(({ name }) => name);
    expect(names.filter((name) => name === 'TOKEN')).toHaveLength(1);
    expect(envOf(container)).toMatchObject({
      TOKEN: { secretKeyRef: { name: 'orders-api', key: 'token' } },
      HOME: '/elsewhere',
      WINDLASS_RUN: 'nightly-report-x7k2p',
      WINDLASS_RUN_ID: key.runId,
      WINDLASS_STEP: 'per_shop',
      WINDLASS_ATTEMPT: attemptHash(key),
      WINDLASS_ATTEMPT_NUMBER: '2',
      WINDLASS_NAMESPACE: 'dev',
      WINDLASS_WORKFLOW: 'nightly-report',
    });
    expect(JSON.stringify(manifest)).not.toContain('overridden');
  });

  test('has what the step says before what its template says before what is usual', () => {
    const { spec, container, manifest } = manifestOf(
      {},
      {
        nodeSelector: { disk: 'ssd' },
        tolerations: [{ key: 'batch', operator: 'Exists' }],
        resources: { limits: { memory: '64Mi' } },
        imagePullSecrets: ['registry'],
        volumes: [{ name: 'data', mountPath: '/data', readOnly: true, emptyDir: {} }],
        podTemplate: {
          metadata: { labels: { team: 'a', 'windlass.dev/attempt': 'forged' }, annotations: { cost: 'b' } },
          spec: {
            nodeSelector: { disk: 'hdd', zone: 'a' },
            priorityClassName: 'low',
            restartPolicy: 'Always',
            securityContext: { runAsUser: 1000 },
            volumes: [{ name: 'own', emptyDir: {} }],
            containers: [{ name: 'step', volumeMounts: [{ name: 'own', mountPath: '/own' }], image: 'forged' }],
          },
        },
      },
    );
    expect(spec).toMatchObject({
      nodeSelector: { disk: 'ssd', zone: 'a' },
      tolerations: [{ key: 'batch', operator: 'Exists' }],
      priorityClassName: 'low',
      restartPolicy: 'Never',
      imagePullSecrets: [{ name: 'registry' }],
      securityContext: { runAsUser: 1000, runAsNonRoot: true },
      volumes: [{ name: 'own' }, { name: 'data', emptyDir: {} }, { name: 'windlass' }],
    });
    expect((spec['volumes'] as JsonObject[])[1]).toEqual({ name: 'data', emptyDir: {} });
    expect(container).toMatchObject({
      image: 'busybox:1',
      resources: { limits: { memory: '64Mi' } },
      volumeMounts: [
        { name: 'own', mountPath: '/own' },
        { name: 'data', mountPath: '/data', readOnly: true },
        { name: 'windlass', mountPath: '/windlass' },
      ],
    });
    expect(manifest['metadata']).toMatchObject({
      labels: { team: 'a', 'windlass.dev/attempt': attemptHash(key) },
      annotations: { cost: 'b' },
    });
  });

  test('runs as its image says where security is baseline', () => {
    const { spec, container } = manifestOf({}, { security: 'baseline' });
    expect(spec['securityContext']).toEqual({ seccompProfile: { type: 'RuntimeDefault' } });
    expect(container['securityContext']).toEqual({});
  });

  test('mounts the files of its version', () => {
    const { spec } = manifestOf({}, {}, ['fetch.sh', 'prompts/a.md']);
    expect((spec['volumes'] as JsonObject[]).at(-1)).toEqual({
      name: 'windlass-files',
      configMap: {
        name: 'windlass-files-ab',
        defaultMode: 0o755,
        items: [
          { key: 'f0', path: 'fetch.sh' },
          { key: 'f1', path: 'prompts/a.md' },
        ],
      },
    });
  });
});

test.each(['x', 'A.very_long.Name-'.repeat(20), '---', 'nightly.2026'])(
  '%s makes a name that Kubernetes takes',
  (runName) => {
    const name = podName(runName, key);
    expect(name).toMatch(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/);
    expect(name.length).toBeLessThanOrEqual(63);
    expect(podName(runName, { ...key, attempt: 3 })).not.toBe(name);
  },
);

describe('what reaches beyond a Pod', () => {
  test.each<[JsonObject, string[]]>([
    [{ hostNetwork: true, hostPID: true, hostIPC: false }, ['hostNetwork', 'hostPID']],
    [
      {
        volumes: [
          { name: 'a', hostPath: { path: '/' } },
          { name: 'b', emptyDir: {} },
        ],
      },
      ['hostPath'],
    ],
    [
      { containers: [{ securityContext: { privileged: true, capabilities: { add: ['SYS_ADMIN'] } } }] },
      ['privileged', 'capabilities.add'],
    ],
    [{ initContainers: [{ securityContext: { privileged: true } }] }, ['privileged']],
    [{ containers: [{ ports: [{ containerPort: 80, hostPort: 80 }] }] }, ['hostPort']],
    [
      { volumes: [{ name: 'a', projected: { sources: [{ serviceAccountToken: { path: 't' } }] } }] },
      ['serviceAccountToken'],
    ],
    [
      {
        serviceAccountName: 'a',
        volumes: [{ name: 'a', projected: { sources: [{ serviceAccountToken: { path: 't' } }] } }],
      },
      [],
    ],
  ])('%j: %j', (spec, found) => {
    expect(privilegesIn(spec)).toEqual(found);
  });

  test('is nothing of what a step usually has', () => {
    expect(privilegesIn(manifestOf({}, {}, ['a']).spec)).toEqual([]);
  });
});

test.each([
  ['a, b', 'b', true],
  ['a,b', 'c', false],
  ['ab', 'a', false],
  [undefined, 'default', false],
])('a namespace that lends %j lends %j: %j', (annotation, account, lends) => {
  expect(lendsAccount(annotation, account)).toBe(lends);
});
