import { describe, expect, test } from 'vitest';
import type { WorkflowRunStatus } from '../../crds/workflow-run.ts';
import type { Draft, ObjectStore, WatchEvent } from '../../controller/seams/objects.ts';

let namespaces = 0;

/** A namespace no other test uses: stores are shared by the tests of a file, as opening one takes seconds. */
function freshNamespace(): string {
  return `objects-${++namespaces}`;
}

function draft(namespace: string, name: string, more: Partial<Draft<'WorkflowRun'>['metadata']> = {}, inputs = {}) {
  return {
    kind: 'WorkflowRun',
    metadata: { name, namespace, ...more },
    spec: { workflow: 'report', inputs },
  } satisfies Draft<'WorkflowRun'>;
}

/** Of a kind whose spec may change, with JSON of any form in it: those of runs are immutable. */
function changing(namespace: string, name: string, more: Partial<Draft<'Environment'>['metadata']> = {}, values = {}) {
  return {
    kind: 'Environment',
    metadata: { name, namespace, ...more },
    spec: { source: { name: 'team' }, track: { branch: 'main' }, values },
  } satisfies Draft<'Environment'>;
}

/** What a watch delivered, and a way to wait for it. */
function recordWatch(namespace: string) {
  const events: WatchEvent<'WorkflowRun'>[] = [];
  let wake: (() => void) | null = null;
  return {
    events,
    handler(event: WatchEvent<'WorkflowRun'>): void {
      if (event.object.metadata.namespace !== namespace) return;
      events.push(event);
      wake?.();
    },
    async until(holds: () => boolean): Promise<void> {
      while (!holds()) await new Promise<void>((resolve) => (wake = resolve));
    },
  };
}

/** What every ObjectStore promises. `store` is asked for in each test; what it holds from other tests must not matter. */
export function describeObjectStore(implementation: string, store: () => ObjectStore): void {
  describe(`ObjectStore: ${implementation}`, () => {
    test('a created object can be read back, with what the store adds', async () => {
      const namespace = freshNamespace();
      const before = Date.now();
      const created = await store().create(draft(namespace, 'a', { labels: { team: 'x' } }, { region: 'eu' }));
      expect(created).toMatchObject({
        apiVersion: 'windlass.dev/v1alpha1',
        kind: 'WorkflowRun',
        metadata: { name: 'a', namespace, generation: 1, labels: { team: 'x' }, annotations: {} },
        spec: { workflow: 'report', inputs: { region: 'eu' } },
      });
      expect(created.status).toBeUndefined();
      expect(created.metadata.uid).toMatch(/^[0-9a-f-]{36}$/);
      expect(Date.parse(created.metadata.creationTimestamp)).toBeGreaterThanOrEqual(before - 1000);
      expect(await store().get('WorkflowRun', namespace, 'a')).toEqual(created);
      expect(await store().get('WorkflowRun', namespace, 'b')).toBeNull();
      expect(await store().get('Promotion', namespace, 'a')).toBeNull();
    });

    test('a name can be taken once in a kind and namespace', async () => {
      const namespace = freshNamespace();
      const made = await Promise.allSettled([1, 2, 3].map(() => store().create(draft(namespace, 'a'))));
      expect(made.map((m) => m.status).toSorted()).toEqual(['fulfilled', 'rejected', 'rejected']);
      await expect(store().create(draft(namespace, 'a'))).rejects.toMatchObject({
        name: 'ObjectConflict',
        reason: 'AlreadyExists',
        message: expect.stringContaining(`${namespace}/a`),
      });
      await store().create(draft(freshNamespace(), 'a'));
    });

    test('what was handed over and what was handed out are copies', async () => {
      const namespace = freshNamespace();
      const wanted = draft(namespace, 'a', {}, { list: [1] });
      const created = await store().create(wanted);
      (wanted.spec.inputs as { list: number[] }).list.push(2);
      created.metadata.labels['mine'] = 'yes';
      const read = await store().get('WorkflowRun', namespace, 'a');
      expect(read?.spec.inputs).toEqual({ list: [1] });
      expect(read?.metadata.labels).toEqual({});
    });

    test('a list is ordered by namespace and name as bytes, and can be narrowed', async () => {
      const namespace = freshNamespace();
      for (const name of ['ab', 'a0', 'a.b', 'a-b', 'b']) {
        const labels: Record<string, string> = name === 'b' ? { team: 'x', tier: '1' } : { team: 'x' };
        await store().create(draft(namespace, name, { labels }));
      }
      const names = async (labels?: Record<string, string>) =>
        (await store().list('WorkflowRun', { namespace, ...(labels && { labels }) })).map((o) => o.metadata.name);
      expect(await names()).toEqual(['a-b', 'a.b', 'a0', 'ab', 'b']);
      expect(await names({ team: 'x', tier: '1' })).toEqual(['b']);
      expect(await names({ team: 'y' })).toEqual([]);
      const all = (await store().list('WorkflowRun')).map((o) => `${o.metadata.namespace}/${o.metadata.name}`);
      expect(all).toContain(`${namespace}/a-b`);
      expect(await store().list('Environment', { namespace })).toEqual([]);
    });

    test('apply shows its caller what it replaces, so that of many who read the same state one gets on', async () => {
      const namespace = freshNamespace();
      const { object } = await store().apply(changing(namespace, 'a', {}, { n: 0 }), (present) =>
        expect(present).toBeNull(),
      );
      const writers = [1, 2, 3].map((n) =>
        store().apply(changing(namespace, 'a', {}, { n }), (present) => {
          if (present?.metadata.resourceVersion !== object.metadata.resourceVersion)
            throw new Error('changed meanwhile');
        }),
      );
      const ends = await Promise.allSettled(writers);
      expect(ends.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected', 'rejected']);
      expect((await store().get('Environment', namespace, 'a'))?.metadata.generation).toBe(2);
    });

    test('apply creates, then writes only differences, and raises the generation only for the spec', async () => {
      const namespace = freshNamespace();
      const first = await store().apply(changing(namespace, 'a', {}, { b: 1, a: { x: null } }));
      expect(first.changed).toBe(true);
      const again = await store().apply(changing(namespace, 'a', {}, { a: { x: null }, b: 1 }));
      expect(again).toEqual({ changed: false, object: first.object });
      const labelled = await store().apply(changing(namespace, 'a', { labels: { l: '1' } }, { b: 1, a: { x: null } }));
      expect(labelled.changed).toBe(true);
      expect(labelled.object.metadata).toMatchObject({ generation: 1, labels: { l: '1' } });
      expect(labelled.object.metadata.resourceVersion).not.toBe(first.object.metadata.resourceVersion);
      const other = await store().apply(changing(namespace, 'a', {}, { b: 2 }));
      expect(other.object.metadata).toMatchObject({ generation: 2, labels: {}, uid: first.object.metadata.uid });
      expect(other.object.spec.values).toEqual({ b: 2 });
    });

    test('a member that is undefined is no difference', async () => {
      const namespace = freshNamespace();
      await store().apply(changing(namespace, 'a', {}, { b: 1 }));
      expect((await store().apply(changing(namespace, 'a', {}, { b: 1, c: undefined }))).changed).toBe(false);
    });

    test('no concurrent update is lost', async () => {
      const namespace = freshNamespace();
      await store().create(changing(namespace, 'a', {}, { count: 0 }));
      await Promise.all(
        Array.from({ length: 12 }, () =>
          store().update('Environment', namespace, 'a', ({ spec }) => ({
            spec: { ...spec, values: { count: Number(spec.values?.['count']) + 1 } },
          })),
        ),
      );
      const read = await store().get('Environment', namespace, 'a');
      expect(read?.spec.values).toEqual({ count: 12 });
      expect(read?.metadata.generation).toBe(13);
    });

    test('update writes what it is given and nothing else; null and no difference write nothing', async () => {
      const namespace = freshNamespace();
      const created = await store().create(draft(namespace, 'a', { labels: { l: '1' } }));
      const annotated = await store().update('WorkflowRun', namespace, 'a', () => ({ annotations: { note: 'x' } }));
      expect(annotated.metadata).toMatchObject({ generation: 1, labels: { l: '1' }, annotations: { note: 'x' } });
      expect(annotated.spec).toEqual(created.spec);
      expect(await store().update('WorkflowRun', namespace, 'a', () => null)).toEqual(annotated);
      expect(await store().update('WorkflowRun', namespace, 'a', ({ spec }) => ({ spec }))).toEqual(annotated);
      expect(await store().get('WorkflowRun', namespace, 'a')).toEqual(annotated);
      await expect(store().update('WorkflowRun', namespace, 'b', () => null)).rejects.toMatchObject({
        name: 'ObjectConflict',
        reason: 'NotFound',
      });
    });

    test('a status is replaced whole, leaves the rest alone, and is not written when it is equal', async () => {
      const namespace = freshNamespace();
      const { metadata, spec } = await store().create(draft(namespace, 'a'));
      const key = { namespace, name: 'a', uid: metadata.uid };
      await store().writeStatus('WorkflowRun', key, { phase: 'Running', progress: '0/1' });
      const running = await store().get('WorkflowRun', namespace, 'a');
      expect(running).toMatchObject({
        spec,
        metadata: { generation: 1 },
        status: { phase: 'Running', progress: '0/1' },
      });
      await store().writeStatus('WorkflowRun', key, { progress: '0/1', phase: 'Running' });
      expect(await store().get('WorkflowRun', namespace, 'a')).toEqual(running);
      await store().writeStatus('WorkflowRun', key, { phase: 'Succeeded' });
      expect((await store().get('WorkflowRun', namespace, 'a'))?.status).toEqual({ phase: 'Succeeded' });
      await store().update('WorkflowRun', namespace, 'a', () => ({ annotations: { note: 'x' } }));
      expect((await store().get('WorkflowRun', namespace, 'a'))?.status).toEqual({ phase: 'Succeeded' });
    });

    test('a status for an object that is gone or replaced goes nowhere', async () => {
      const namespace = freshNamespace();
      const old = await store().create(draft(namespace, 'a'));
      const key = { namespace, name: 'a', uid: old.metadata.uid };
      await store().delete('WorkflowRun', namespace, 'a');
      await store().writeStatus('WorkflowRun', key, { phase: 'Running' });
      await store().create(draft(namespace, 'a'));
      await store().writeStatus('WorkflowRun', key, { phase: 'Running' });
      expect((await store().get('WorkflowRun', namespace, 'a'))?.status).toBeUndefined();
    });

    test('many statuses written at once all arrive, and the last one of an object wins', async () => {
      const namespace = freshNamespace();
      const made = await Promise.all(
        Array.from({ length: 300 }, (_, i) => store().create(draft(namespace, `r-${String(i).padStart(3, '0')}`))),
      );
      const write = (phase: (i: number) => string) =>
        made.map(({ metadata: { name, uid } }, i) =>
          store().writeStatus('WorkflowRun', { namespace, name, uid }, { phase: phase(i) } satisfies WorkflowRunStatus),
        );
      await Promise.all([...write(() => 'Running'), ...write((i) => `Done ${i}`)]);
      const phases = (await store().list('WorkflowRun', { namespace })).map((o) => o.status?.phase);
      expect(phases).toEqual(made.map((_, i) => `Done ${i}`));
    });

    test('delete says whether something went, and spares a successor of the same name', async () => {
      const namespace = freshNamespace();
      const old = await store().create(draft(namespace, 'a'));
      expect(await store().delete('WorkflowRun', namespace, 'a', old.metadata.uid)).toBe(true);
      expect(await store().delete('WorkflowRun', namespace, 'a')).toBe(false);
      expect(await store().get('WorkflowRun', namespace, 'a')).toBeNull();
      const next = await store().create(draft(namespace, 'a'));
      expect(next.metadata.uid).not.toBe(old.metadata.uid);
      expect(next.metadata.resourceVersion).not.toBe(old.metadata.resourceVersion);
      expect(await store().delete('WorkflowRun', namespace, 'a', old.metadata.uid)).toBe(false);
      expect((await store().list('WorkflowRun', { namespace })).length).toBe(1);
    });

    test('a watch delivers what is there, then every change, until it is stopped', async () => {
      const namespace = freshNamespace();
      const a = await store().create(draft(namespace, 'a'));
      const seen = recordWatch(namespace);
      const stop = await store().watch('WorkflowRun', seen.handler);
      expect(seen.events).toEqual([{ type: 'Applied', object: a }]);

      const b = await store().create(draft(namespace, 'b'));
      await store().writeStatus('WorkflowRun', { namespace, name: 'a', uid: a.metadata.uid }, { phase: 'Running' });
      await store().delete('WorkflowRun', namespace, 'b');
      await seen.until(() => seen.events.some((e) => e.type === 'Deleted'));
      const latest = new Map(seen.events.map((e) => [e.object.metadata.name, e]));
      expect(latest.get('a')).toMatchObject({ type: 'Applied', object: { status: { phase: 'Running' } } });
      expect(latest.get('b')).toMatchObject({ type: 'Deleted', object: { metadata: { uid: b.metadata.uid } } });

      const count = seen.events.length;
      stop();
      stop();
      await store().create(draft(namespace, 'c'));
      expect(seen.events.length).toBe(count);
    });

    test('a watch misses nothing that is written while it starts', async () => {
      const namespace = freshNamespace();
      const seen = recordWatch(namespace);
      const writes = Array.from({ length: 20 }, (_, i) => store().create(draft(namespace, `r-${i}`)));
      const stop = await store().watch('WorkflowRun', seen.handler);
      await Promise.all(writes);
      await seen.until(() => new Set(seen.events.map((e) => e.object.metadata.name)).size === 20);
      expect(seen.events.every((e) => e.type === 'Applied')).toBe(true);
      stop();
    });
  });
}
