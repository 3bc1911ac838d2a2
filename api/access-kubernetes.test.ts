import { describe, expect, test } from 'vitest';
import type { ObjectStore } from '../controller/seams/objects.ts';
import { createVirtualClock } from '../test/fixtures/clock.ts';
import { AccessUnknown } from './access.ts';
import { createKubernetesAccess } from './access-kubernetes.ts';

interface Attributes {
  verb: string;
  resource: string;
  namespace?: string;
  name?: string;
}

/** An API server that knows tokens and rights, and counts what it is asked. `rights`: `user verb resource namespace name`. */
function world(tokens: Record<string, string>, rights: string[] = []) {
  const clock = createVirtualClock();
  const asked: string[] = [];
  const server = { tokens, rights, away: false };
  const access = createKubernetesAccess({
    clock,
    objectsFor: (token) => ({ token }) as unknown as ObjectStore,
    reviewer: {
      async request<T>(_: 'POST', path: string, { body }: { body: unknown }): Promise<T> {
        if (server.away) throw new Error('connection refused');
        const spec = (body as { spec: unknown }).spec;
        if (path === '/apis/authentication.k8s.io/v1/tokenreviews') {
          asked.push('who');
          const username = server.tokens[(spec as { token: string }).token];
          const status =
            username === undefined ? { error: 'no' } : { authenticated: true, user: { username, groups: ['g'] } };
          return { status } as T;
        }
        expect(path).toBe('/apis/authorization.k8s.io/v1/subjectaccessreviews');
        const { user, resourceAttributes: a } = spec as { user: string; resourceAttributes: Attributes };
        const right = [user, a.verb, a.resource, a.namespace ?? '*', a.name].filter(Boolean).join(' ');
        asked.push(right);
        return { status: { allowed: server.rights.includes(right) } } as T;
      },
    },
  });
  const caller = async (token: string) => {
    const found = await access.authenticate(token);
    if (!found) throw new Error(`${token} is nobody's`);
    return found;
  };
  return { access, clock, asked, server, caller };
}

describe('a token', () => {
  test('is somebody, with groups and objects of that very token', async () => {
    const { caller } = world({ t: 'ada' });
    expect(await caller('t')).toMatchObject({ user: 'ada', groups: ['g'], objects: { token: 't' } });
  });

  test('that nobody has is nobody', async () => {
    expect(await world({}).access.authenticate('t')).toBeNull();
  });

  test('is asked about once in a minute, by any number at once', async () => {
    const { access, asked, clock } = world({ t: 'ada' });
    await Promise.all([access.authenticate('t'), access.authenticate('t')]);
    clock.advance(59_999);
    await access.authenticate('t');
    expect(asked).toEqual(['who']);
    clock.advance(1);
    await access.authenticate('t');
    expect(asked).toEqual(['who', 'who']);
  });

  test('that was taken back is nobody after a minute, one that was given somebody after ten seconds', async () => {
    const { access, clock, server } = world({ old: 'ada' });
    await access.authenticate('old');
    await access.authenticate('new');
    server.tokens = { new: 'grace' };
    clock.advance(10_000);
    expect((await access.authenticate('new'))?.user).toBe('grace');
    expect((await access.authenticate('old'))?.user).toBe('ada');
    clock.advance(50_000);
    expect(await access.authenticate('old')).toBeNull();
  });

  test('is not nobody because the API server is away, and is asked about again at once', async () => {
    const { access, server } = world({ t: 'ada' });
    server.away = true;
    await expect(access.authenticate('t')).rejects.toBeInstanceOf(AccessUnknown);
    server.away = false;
    expect((await access.authenticate('t'))?.user).toBe('ada');
  });

  test('of the thousand last is known; the oldest is forgotten', async () => {
    const { access, asked } = world({});
    for (let i = 0; i <= 1000; i++) await access.authenticate(`t${i}`);
    await access.authenticate('t1000');
    expect(asked.length).toBe(1001);
    await access.authenticate('t0');
    expect(asked.length).toBe(1002);
  });
});

describe('a right', () => {
  test('is that of the user, verb, kind and namespace', async () => {
    const { caller } = world({ a: 'ada', g: 'grace' }, ['ada list workflowruns dev', 'grace list workflowruns *']);
    const [ada, grace] = [await caller('a'), await caller('g')];
    expect(await ada.may('list', 'WorkflowRun', 'dev')).toBe(true);
    expect(await ada.may('list', 'WorkflowRun', 'prod')).toBe(false);
    expect(await ada.may('list', 'WorkflowRun', null)).toBe(false);
    expect(await ada.may('get', 'WorkflowRun', 'dev')).toBe(false);
    expect(await ada.may('list', 'Workflow', 'dev')).toBe(false);
    expect(await grace.may('list', 'WorkflowRun', null)).toBe(true);
  });

  test('may name one object', async () => {
    const { caller } = world({ a: 'ada' }, ['ada approve environments team prod', 'ada get workflows team']);
    const ada = await caller('a');
    expect(await ada.may('approve', 'Environment', 'team', 'prod')).toBe(true);
    expect(await ada.may('approve', 'Environment', 'team', 'dev')).toBe(false);
    expect(await ada.may('get', 'Workflow', 'team', 'any')).toBe(true);
  });

  test('is asked about once in ten seconds, whatever the object', async () => {
    const { caller, asked, clock, server } = world({ a: 'ada' }, ['ada get workflowruns dev']);
    const ada = await caller('a');
    for (const name of ['x', 'y', 'z']) expect(await ada.may('get', 'WorkflowRun', 'dev', name)).toBe(true);
    expect(asked).toEqual(['who', 'ada get workflowruns dev']);
    server.rights = [];
    clock.advance(9_999);
    expect(await ada.may('get', 'WorkflowRun', 'dev', 'x')).toBe(true);
    clock.advance(1);
    expect(await ada.may('get', 'WorkflowRun', 'dev', 'x')).toBe(false);
  });

  test('is not denied because the API server is away', async () => {
    const { caller, server } = world({ a: 'ada' }, ['ada get workflowruns dev']);
    const ada = await caller('a');
    server.away = true;
    await expect(ada.may('get', 'WorkflowRun', 'dev')).rejects.toThrow(
      'Kubernetes cannot be asked what ada may do at present',
    );
    server.away = false;
    expect(await ada.may('get', 'WorkflowRun', 'dev')).toBe(true);
  });
});
