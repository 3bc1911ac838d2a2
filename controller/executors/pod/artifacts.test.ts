import { describe, expect, test } from 'vitest';
import { startAction } from '../../../test/conformance/executor.ts';
import type { JsonObject } from '../../../crds/json.ts';
import { buildPodSettings } from '../../core/plan/pod.ts';
import type { PodSettings } from '../../core/plan/types.ts';
import type { ArtifactRef, AttemptResult, ResolvedBody } from '../../core/run/types.ts';
import type { StartAction } from '../../seams/executor.ts';
import {
  awaitsCollecting,
  type HelperMessage,
  type HelperTask,
  stepOf,
  withArtifactContainers,
  withCollected,
} from './artifacts.ts';
import { podManifest } from './manifest.ts';
import type { Pod } from './pod.ts';
import { goneProgress, podProgress } from './status.ts';

const options = { image: 'windlass:1', url: 'http://windlass.windlass:80', maxBytes: 1000 };
const ref: ArtifactRef = { digest: `sha256:${'ab'.repeat(32)}`, bytes: 3, folder: true };
const ok: AttemptResult = { outcome: 'Succeeded', outputs: { text: '' } };

type Containers = (JsonObject & { name: string; env: { value: string }[]; volumeMounts: { name: string }[] })[];

function podOf(artifacts: Partial<StartAction['artifacts']>, pod: Partial<PodSettings> = {}, files = false) {
  const settings = { ...buildPodSettings({ name: 'work' }, undefined), ...pod };
  const body = { kind: 'run', script: 'x', shell: ['sh'], env: {}, secrets: {}, pod: settings } satisfies ResolvedBody;
  const action = { ...startAction(body), artifacts: { in: {}, out: {}, ...artifacts } };
  const given = { configMap: 'files', items: [{ key: 'f0', path: 'a' }] };
  const plain = podManifest(action, body, { image: 'busybox:1', files: files ? given : null });
  const whole = withArtifactContainers(plain, action, options);
  const spec = whole['spec'] as JsonObject;
  return {
    plain,
    whole,
    spec,
    init: (spec['initContainers'] ?? []) as Containers,
    main: spec['containers'] as Containers,
  };
}

function taskOf(container: { env: { value: string }[] } | undefined): HelperTask {
  return JSON.parse((container?.env[0]?.value ?? '').replaceAll('$$', '$')) as HelperTask;
}

describe('the Pod of a step with artifacts', () => {
  test('without any it is as it is: no container more', () => {
    const { plain, whole } = podOf({});
    expect(whole).toBe(plain);
  });

  test('what it takes from others is brought before it', () => {
    const { init, main } = podOf({ in: { 'in/a': ref } }, {}, true);
    expect([init.map((c) => c.name), main.map((c) => c.name)]).toEqual([['windlass-fetch'], ['step']]);
    expect(taskOf(init[0])).toMatchObject({ do: 'fetch', url: options.url, in: { 'in/a': ref } });
    expect(init[0]?.volumeMounts.map((mount) => mount.name)).toEqual(['windlass', 'windlass-token', 'windlass-files']);
  });

  test('what it leaves is collected when it has ended well: it is an init container', () => {
    const { init, main, spec } = podOf({ in: { a: ref }, out: { b: 'x/$HOME' } });
    expect([init.map((c) => c.name), main.map((c) => c.name)]).toEqual([
      ['windlass-fetch', 'step'],
      ['windlass-collect'],
    ]);
    expect(taskOf(main[0])).toMatchObject({ do: 'collect', maxBytes: 1000, out: { b: 'x/$HOME' } });
    expect(stepOf(spec)?.['image']).toBe('busybox:1');
  });

  test('init containers of the template stay before it', () => {
    const { init } = podOf(
      { out: { b: 'x' } },
      { podTemplate: { spec: { initContainers: [{ name: 'own', image: 'i' }] } } },
    );
    expect(init.map((c) => c.name)).toEqual(['own', 'step']);
  });

  test('the step has no token: only what is beside it', () => {
    const { init, main, spec } = podOf({ in: { a: ref }, out: { b: 'x' } });
    const holders = [...init, ...main].filter((c) => c.volumeMounts.some((mount) => mount.name === 'windlass-token'));
    expect(holders.map((c) => c.name)).toEqual(['windlass-fetch', 'windlass-collect']);
    expect(spec['automountServiceAccountToken']).toBe(false);
    expect(JSON.stringify(spec)).not.toMatch(/AWS|secretAccessKey/);
  });

  test('beside a restricted step they are restricted, and else may read what any user left', () => {
    const restricted = podOf({ out: { b: 'x' } }).main[0]?.['securityContext'];
    expect(restricted).toMatchObject({ allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } });
    const baseline = podOf({ out: { b: 'x' } }, { security: 'baseline' }).main[0]?.['securityContext'];
    expect(baseline).toEqual({ runAsUser: 0, runAsGroup: 0 });
  });
});

const metadata = {
  name: 'p',
  namespace: 'dev',
  uid: 'u',
  resourceVersion: '1',
  creationTimestamp: '2026-11-20T23:00:00Z',
  annotations: { 'windlass.dev/artifacts': '["a","b"]' },
};
const ended = (exitCode: number, message = '') => ({
  terminated: { exitCode, message, finishedAt: '2026-11-20T23:01:00Z' },
});

function seen(step: object, collect: object | null, more: Partial<Pod['status']> = {}): Pod {
  const containerStatuses = collect === null ? [] : [{ name: 'windlass-collect', state: collect }];
  return {
    metadata,
    status: { phase: 'Running', initContainerStatuses: [{ name: 'step', state: step }], containerStatuses, ...more },
  };
}

function said(message: HelperMessage): string {
  return JSON.stringify(message);
}

const b64 = Buffer.from('ab'.repeat(32), 'hex').toString('base64url');
const twoKept = said({
  kept: [
    [b64, 3, 1],
    [b64, 4, 2],
  ],
});
const now = Date.parse('2026-11-20T23:02:00Z');

describe('how it ends', () => {
  test.each<[string, Pod, string]>([
    ['the step runs', seen({ running: {} }, { waiting: { reason: 'PodInitializing' } }), 'running'],
    ['the collector waits', seen(ended(0), { waiting: { reason: 'PodInitializing' } }), 'waiting'],
    ['the collector runs', seen(ended(0), { running: {} }), 'running'],
    ['all has ended', seen(ended(0), ended(0, twoKept), { phase: 'Succeeded' }), 'exited'],
    ['collecting failed', seen(ended(0), ended(1), { phase: 'Failed' }), 'exited'],
    ['the step failed', seen(ended(3), null, { phase: 'Failed' }), 'exited'],
    ['it was evicted while collecting', seen(ended(0), null, { phase: 'Failed', reason: 'Evicted' }), 'exited'],
    [
      'the collector’s image is not there',
      seen(ended(0), { waiting: { reason: 'ErrImagePull', message: 'windlass:1: not found' } }),
      'hopeless',
    ],
  ])('%s', (_, pod, is) => {
    expect(podProgress(pod, now, null).is).toBe(is);
  });

  test('a Pod that is gone before all was collected has ended', () => {
    expect(goneProgress(seen(ended(0), { running: {} })).is).toBe('exited');
  });

  test('a step without artifacts waits for nothing', () => {
    const pod = seen(ended(0), null);
    expect(awaitsCollecting({ ...pod, metadata: { ...metadata, annotations: {} } }, { exitCode: 0 })).toBe(false);
    expect(awaitsCollecting(pod, { exitCode: 0 })).toBe(true);
  });

  test('what was kept goes by the names it was asked for', () => {
    const pod = seen(ended(0), ended(0, twoKept));
    expect(withCollected(pod, ok)).toEqual({
      ...ok,
      artifacts: { a: { ...ref, bytes: 3, folder: true }, b: { ...ref, bytes: 4, folder: false, executable: true } },
    });
  });

  test.each<[string, object | null, string, boolean]>([
    ['a mistake of the step', ended(1, said({ error: { type: 'output', message: 'nothing at x' } })), 'output', false],
    [
      'an unreachable controller',
      ended(1, said({ error: { type: 'infrastructure/artifacts', message: 'm' } })),
      'infrastructure/artifacts',
      true,
    ],
    ['killed', ended(137), 'infrastructure/artifacts', true],
    ['no word that can be read', ended(0, 'what'), 'infrastructure/artifacts', true],
    ['too few', ended(0, said({ kept: [[b64, 3, 1]] })), 'infrastructure/artifacts', true],
    ['gone', null, 'infrastructure/artifacts', true],
  ])('not collected: %s', (_, collect, type, retryable) => {
    const result = withCollected(seen(ended(0), collect), ok);
    expect(result).toMatchObject({ outcome: 'Failed', error: { type, retryable } });
  });

  test('what could not be brought is the step’s error', () => {
    const fetch = ended(1, said({ error: { type: 'artifact', message: 'n is no longer kept' } }));
    const pod: Pod = {
      metadata,
      status: { phase: 'Failed', initContainerStatuses: [{ name: 'windlass-fetch', state: fetch }] },
    };
    expect(podProgress(pod, now, null)).toMatchObject({
      is: 'broken',
      error: { type: 'artifact', message: 'n is no longer kept', retryable: false },
    });
  });

  test('what is said of 50 artifacts fits the kubelet', () => {
    const kept = Array.from({ length: 50 }, () => [b64, 1024 ** 3, 1] as [string, number, 1]);
    expect(said({ kept }).length).toBeLessThanOrEqual(4096);
  });
});
