import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { WorkflowRun } from '../../../crds/workflow-run.ts';
import type { WatchEvent } from '../../seams/objects.ts';
import { systemClock } from '../../runtime/clock.ts';
import { createKindCache } from './cache.ts';

function run(name: string, uid: string, version: number, namespace = 'n'): WorkflowRun {
  return {
    apiVersion: 'windlass.dev/v1alpha1',
    kind: 'WorkflowRun',
    metadata: {
      name,
      namespace,
      uid,
      resourceVersion: String(version),
      generation: 1,
      creationTimestamp: '2030-01-01T00:00:00Z',
      labels: {},
      annotations: {},
    },
    spec: { workflow: 'report' },
  };
}

function recorded() {
  const errors: unknown[] = [];
  const cache = createKindCache<'WorkflowRun'>(systemClock, (error) => errors.push(error));
  const events: WatchEvent<'WorkflowRun'>[] = [];
  cache.subscribe((event) => void events.push(event));
  const brief = () => events.map(({ type, object: { metadata: m } }) => `${type} ${m.uid} ${m.resourceVersion}`);
  return { cache, events, brief, errors };
}

describe('the newer version wins, whoever tells of it first', () => {
  test('an own write, then its watch event: told once', () => {
    const { cache, brief } = recorded();
    cache.applied(run('a', 'A', 5));
    cache.applied(run('a', 'A', 5));
    cache.applied(run('a', 'A', 4));
    expect(brief()).toEqual(['Applied A 5']);
  });

  test('versions are numbers of any length', () => {
    const { cache } = recorded();
    cache.applied(run('a', 'A', 999));
    cache.applied(run('a', 'A', 1000));
    expect(cache.get('n', 'a')?.metadata.resourceVersion).toBe('1000');
  });

  test('a late answer of an own write does not bring back what is gone', () => {
    const { cache, brief } = recorded();
    cache.applied(run('a', 'A', 5));
    cache.deleted('n', 'a', 'A');
    cache.applied(run('a', 'A', 6));
    cache.deleted('n', 'a', 'A');
    expect(cache.get('n', 'a')).toBeUndefined();
    expect(brief()).toEqual(['Applied A 5', 'Deleted A 5']);
  });

  test('the late end of a predecessor does not touch its successor', () => {
    const { cache, brief } = recorded();
    cache.applied(run('a', 'A', 5));
    cache.applied(run('a', 'B', 9));
    cache.deleted('n', 'a', 'A');
    expect(cache.get('n', 'a')?.metadata.uid).toBe('B');
    expect(brief()).toEqual(['Applied A 5', 'Deleted A 5', 'Applied B 9']);
  });
});

describe('a list', () => {
  test('tells what changed and what is gone, and spares what was written after it', () => {
    const { cache, brief } = recorded();
    for (const [name, version] of [
      ['gone', 1],
      ['same', 2],
      ['old', 3],
      ['newer', 20],
    ] as const) {
      cache.applied(run(name, name, version));
    }
    cache.applied(run('else', 'else', 1, 'other'));
    const before = brief().length;
    cache.replaced([run('same', 'same', 2), run('old', 'old', 8), run('new', 'new', 9)], 'n', '10');
    expect(brief().slice(before)).toEqual(['Deleted gone 1', 'Applied old 8', 'Applied new 9']);
    expect(cache.list({}).map(({ metadata }) => metadata.name)).toEqual(['new', 'newer', 'old', 'same', 'else']);
  });
});

test('whatever the order of watch events and answers, the last state stays', () => {
  // One object is created, written and deleted, again and again: the watch tells it in order; answers come at any time.
  const history = fc.array(fc.constantFrom('write', 'recreate'), { minLength: 1, maxLength: 12 });
  fc.assert(
    fc.property(history, fc.infiniteStream(fc.nat(4)), fc.boolean(), (steps, delays, endsDeleted) => {
      let version = 10;
      let uid = 0;
      const told: (() => void)[] = [];
      const { cache } = recorded();
      const answers: { at: number; tell: () => void }[] = [];
      const write = () => {
        const object = run('a', `u${uid}`, ++version);
        told.push(() => cache.applied(object));
        answers.push({ at: told.length + (delays.next().value as number) - 2, tell: () => cache.applied(object) });
      };
      const remove = () => {
        const gone = `u${uid}`;
        version += 1;
        told.push(() => cache.deleted('n', 'a', gone));
        uid += 1;
      };
      write();
      for (const step of steps) {
        if (step === 'recreate') remove();
        write();
      }
      if (endsDeleted) remove();
      for (const [i, tell] of told.entries()) {
        for (const answer of answers) if (answer.at === i) answer.tell();
        tell();
      }
      for (const answer of answers) if (answer.at >= told.length) answer.tell();
      const present = cache.get('n', 'a')?.metadata;
      expect(present?.resourceVersion).toBe(endsDeleted ? undefined : String(version));
    }),
  );
});

test('what is handed out is a copy, and a throwing handler harms nobody', () => {
  const { cache, errors, brief } = recorded();
  cache.subscribe(() => {
    throw new Error('handler');
  });
  cache.subscribe(({ object }) => void (object.metadata.labels['mine'] = 'yes'));
  cache.applied(run('a', 'A', 1));
  expect(errors).toHaveLength(1);
  expect(brief()).toEqual(['Applied A 1']);
  const got = cache.get('n', 'a');
  if (got) got.spec.workflow = 'other';
  expect(cache.get('n', 'a')).toEqual(run('a', 'A', 1));
});
