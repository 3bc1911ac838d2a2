import type { Hono } from 'hono';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Registry } from 'prom-client';
import { ObjectRefused, type ObjectStore } from '../controller/seams/objects.ts';
import {
  addEnvironment,
  addPromotion,
  addRun,
  addWorkflow,
  type ApiWorld,
  host,
  openApiWorld,
  workflowSpec,
} from '../test/fixtures/api.ts';
import { type Access, AccessUnknown, type AccessVerb } from './access.ts';
import { createApp } from './app.ts';
import type { ProblemDetails } from './problem.ts';

/** `verb Kind namespace`, `*` for all namespaces. */
type Right = `${AccessVerb} ${string} ${string}`;

let world: ApiWorld;
let app: Hono;
let rights: Right[] = [];

/** Every token is the name of its holder, who may do what `rights` says; objects refuse as the API server does. */
function tableAccess(objects: ObjectStore): Access {
  const may = async (verb: AccessVerb, kind: string, namespace: string | null) =>
    rights.includes(`${verb} ${kind} *`) || (namespace !== null && rights.includes(`${verb} ${kind} ${namespace}`));
  const demand = async (verb: AccessVerb, kind: string, namespace: string) => {
    if (!(await may(verb, kind, namespace))) {
      throw new ObjectRefused('Forbidden', `cannot ${verb} ${kind} in namespace "${namespace}"`, null);
    }
  };
  const own: ObjectStore = {
    ...objects,
    async create(draft) {
      await demand('create', draft.kind, draft.metadata.namespace);
      return objects.create(draft);
    },
    async apply(draft, check) {
      await demand('update', draft.kind, draft.metadata.namespace);
      return objects.apply(draft, check);
    },
    async update(kind, namespace, name, change) {
      await demand('update', kind, namespace);
      return objects.update(kind, namespace, name, change);
    },
    async delete(kind, namespace, name) {
      await demand('delete', kind, namespace);
      return objects.delete(kind, namespace, name);
    },
  };
  return {
    allowedHosts: null,
    hint: 'Ask an administrator.',
    async authenticate(token) {
      if (token === 'away') throw new AccessUnknown('Kubernetes cannot be asked who calls.');
      return token === 'nobody'
        ? null
        : { user: token, groups: ['editors', 'system:authenticated'], objects: own, may };
    },
  };
}

beforeAll(async () => {
  world = await openApiWorld();
  app = createApp({ ...world.deps, registry: new Registry(), project: null, access: tableAccess(world.store.objects) });
  await addWorkflow(world.store, 'dev');
  await addWorkflow(world.store, 'prod', 'other');
  await addEnvironment(world.store, 'prod');
  await world.store.objects.create({
    kind: 'WorkflowSource',
    metadata: { name: 'repo', namespace: 'default' },
    spec: { url: 'https://git.example.org/a.git', branch: 'main' },
  });
  await addRun(world.store, {
    name: 'first',
    steps: [{ step: 'fetch' }, { step: 'approve', phase: 'Waiting' }],
    attempts: [{ step: 'fetch', number: 1 }],
    run: { phase: 'Running' },
  });
  await addPromotion(world.store, { name: 'p1' });
});
afterAll(() => world.close());

async function call(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: ProblemDetails & { items: { name: string; namespace: string }[] } }> {
  const response = await app.request(`http://${host}/api/v1${path}`, {
    method,
    headers: { host, authorization: 'Bearer ada', 'content-type': 'application/json', ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, body: text.startsWith('{') ? (JSON.parse(text) as never) : ({} as never) };
}

const run = '/namespaces/dev/runs/first';
const draft = { metadata: {}, spec: workflowSpec };

describe('each operation is for those who may, and says what is missing to others', () => {
  const operations: [method: string, path: string, body: unknown, needed: Right[], status?: number][] = [
    ['GET', '/environments?project=default', undefined, ['list Environment default']],
    ['GET', '/environments/prod?project=default', undefined, ['get Environment default']],
    ['GET', '/workflows', undefined, ['list Workflow *']],
    ['GET', '/workflows?namespace=dev', undefined, ['list Workflow dev']],
    ['GET', '/workflows/dev/report', undefined, ['get Workflow dev']],
    ['GET', '/versions?project=default', undefined, ['list Workflow default']],
    ['GET', `/versions/sha256:${'1'.padStart(64, '0')}`, undefined, ['get Workflow *', 'list Environment *']],
    ['GET', '/promotions?project=default', undefined, ['list Promotion default']],
    ['GET', '/promotions/p1?project=default', undefined, ['get Promotion default']],
    [
      'POST',
      '/promotions?project=default',
      { environment: 'prod', ref: 'v2.0.0' },
      ['create Promotion default', 'get Environment default'],
      201,
    ],
    [
      'POST',
      '/promotions/p1/approve?project=default',
      {},
      ['get Promotion default', 'update Promotion default', 'approve Environment default'],
    ],
    ['GET', '/runs', undefined, ['list WorkflowRun *']],
    ['GET', '/runs?namespace=dev', undefined, ['list WorkflowRun dev']],
    ['POST', '/namespaces/dev/runs', { workflow: 'report' }, ['create WorkflowRun dev', 'get Workflow dev'], 201],
    ['GET', run, undefined, ['get WorkflowRun dev']],
    ['GET', `${run}/steps`, undefined, ['get WorkflowRun dev']],
    ['GET', `${run}/steps/fetch/logs`, undefined, ['get WorkflowRun dev']],
    ['POST', `${run}/pause`, {}, ['update WorkflowRun dev']],
    ['POST', `${run}/resume`, {}, ['update WorkflowRun dev']],
    ['POST', `${run}/steps/approve/approve`, {}, ['update WorkflowRun dev']],
    ['GET', '/events?kind=WorkflowRun&namespace=dev', undefined, ['list WorkflowRun dev']],
    ['GET', '/events?kind=Promotion', undefined, ['list Promotion *']],
    ['GET', '/sources?project=default', undefined, ['list WorkflowSource default']],
    ['POST', '/namespaces/default/workflowsources/repo/reconcile', {}, ['update WorkflowSource default'], 202],
    ['GET', '/namespaces/dev/workflows', undefined, ['list Workflow dev']],
    ['GET', '/namespaces/dev/workflows/report', undefined, ['get Workflow dev']],
    ['PUT', '/namespaces/dev/workflows/new', draft, ['update Workflow dev']],
    ['DELETE', '/namespaces/dev/workflows/new', undefined, ['delete Workflow dev'], 204],
  ];

  test.each(operations)('%s %s', async (method, path, body, needed, status = 200) => {
    for (const missing of needed) {
      // Elsewhere, and every other verb here, is not what is asked for.
      rights = needed.filter((right) => right !== missing);
      const refused = await call(method, path, body);
      expect([missing, refused.status, refused.body.type]).toEqual([
        missing,
        403,
        'https://windlass.dev/problems/forbidden',
      ]);
      const [verb = '', kind = '', namespace = ''] = missing.split(' ');
      const known = path.startsWith('/versions/') ? ['Workflow'] : [verb, kind];
      for (const word of [...known, namespace === '*' ? 'namespace' : namespace]) {
        expect(refused.body.detail).toContain(word);
      }
      if (path.startsWith('/versions/')) break;
    }
    rights = needed;
    expect((await call(method, path, body)).status).toBe(status);
  });

  test('a stream is refused before it begins', async () => {
    rights = [];
    for (const path of [`${run}/logs`, `${run}/steps/fetch/logs`, '/events']) {
      expect((await call('GET', path, undefined, { accept: 'text/event-stream' })).status).toBe(403);
    }
  });
});

describe('what is told', () => {
  test('names of others are listed in a 404 only to those who may list them', async () => {
    rights = ['get Workflow dev'];
    expect((await call('GET', '/workflows/dev/nope')).body.detail).toBe('There is no Workflow nope in namespace dev.');
    rights = ['get Workflow dev', 'list Workflow dev'];
    expect((await call('GET', '/workflows/dev/nope')).body.detail).toContain('There are: report');
  });

  test('events are those of the kinds that the caller may list', async () => {
    const event = { namespace: 'team', name: 'x', type: 'Normal' as const, reason: 'R', message: 'm', at: 0 };
    await world.store.events.append(
      ['WorkflowRun', 'Promotion', 'WorkflowRun', 'Promotion', 'WorkflowRun'].map((kind, i) => ({
        ...event,
        kind,
        name: `${i}`,
      })),
    );
    rights = ['list WorkflowRun team'];
    const { body } = await call('GET', '/events?namespace=team&limit=2');
    expect(body.items.map((e) => e.name)).toEqual(['0', '2']);
    rights = ['list WorkflowRun *', 'list Promotion team'];
    expect((await call('GET', '/events?namespace=team')).body.items.length).toBe(5);
  });

  test('a version by its digest is for those who see a project with a name for it', async () => {
    const path = (n: number) => `/versions/sha256:${String(n).padStart(64, '0')}?project=default`;
    rights = ['get Workflow default'];
    expect((await call('GET', path(1))).status).toBe(200);
    expect((await call('GET', `${path(1)}x`)).status).toBe(403);
    expect((await call('GET', path(2))).status).toBe(404);
  });
});

describe('an install for some namespaces', () => {
  let narrow: Hono;
  const get = async (path: string) => {
    const response = await narrow.request(`http://${host}/api/v1${path}`, {
      headers: { host, authorization: 'Bearer ada' },
    });
    return { status: response.status, body: (await response.json()) as Listing };
  };
  interface Listing {
    items: { name: string; namespace: string }[];
    namespaces?: string[];
    detail?: string;
  }
  const namespacesOf = ({ body }: { body: Listing }) => [...new Set(body.items.map((item) => item.namespace))].sort();

  beforeAll(async () => {
    const access = tableAccess(world.store.objects);
    const namespaces = ['dev', 'other', 'prod'];
    narrow = createApp({ ...world.deps, registry: new Registry(), project: null, access, namespaces });
    await addWorkflow(world.store, 'left', 'third');
    for (const [i, namespace] of ['other', 'left'].entries()) {
      await addRun(world.store, { name: `in-${namespace}`, namespace, run: { phase: 'Running' } });
      const event = { kind: 'WorkflowRun', type: 'Normal' as const, reason: 'R', message: 'm', at: 0 };
      await world.store.events.append([{ ...event, namespace, name: `narrow-${i}` }]);
    }
  });

  test('lists, without a namespace, those of its namespaces that the caller may list, and says which', async () => {
    rights = ['list WorkflowRun dev', 'list WorkflowRun other', 'list WorkflowRun left', 'list Workflow prod'];
    const runs = await get('/runs?limit=500');
    expect(namespacesOf(runs)).toEqual(['dev', 'other']);
    expect(runs.body.namespaces).toEqual(['dev', 'other']);
    const workflows = await get('/workflows');
    expect(namespacesOf(workflows)).toEqual(['prod']);
    expect(workflows.body.namespaces).toEqual(['prod']);
    const events = await get('/events?kind=WorkflowRun&limit=500');
    expect(namespacesOf(events)).toEqual(expect.arrayContaining(['other']));
    expect(namespacesOf(events)).not.toContain('left');
    expect(namespacesOf(await get('/events?limit=500'))).not.toContain('left');
  });

  test('says nothing of it to whoever may list in all of its namespaces, or asks for one', async () => {
    rights = ['list WorkflowRun dev', 'list WorkflowRun other', 'list WorkflowRun prod'];
    expect((await get('/runs')).body.namespaces).toBeUndefined();
    expect((await get('/runs?namespace=dev')).body.namespaces).toBeUndefined();
    rights = ['list WorkflowRun *'];
    const everything = await get('/runs?limit=500');
    expect(namespacesOf(everything)).toContain('left');
    expect(everything.body.namespaces).toBeUndefined();
  });

  test('is closed to whoever may list in none of them', async () => {
    rights = ['list WorkflowRun left', 'list Workflow left'];
    for (const path of ['/runs', '/workflows', '/events', '/runs?namespace=dev']) {
      expect(await get(path)).toMatchObject({ status: 403, body: { detail: expect.stringContaining('may not list') } });
    }
  });
});

describe('the project', () => {
  test('is the only one there is, and has to be said when there are more that the caller sees', async () => {
    rights = ['list Environment *'];
    expect((await call('GET', '/environments')).body.items.map((e) => e.name)).toEqual(['prod']);
    const spec = { source: { name: 'repo' }, track: { branch: 'main' } };
    await world.store.objects.create({ kind: 'Environment', metadata: { name: 'dev', namespace: 'team' }, spec });
    const { status, body } = await call('GET', '/environments');
    expect([status, body.detail]).toEqual([
      400,
      'The query is wrong: project: say which project, a namespace with sources and environments; there are default, team.',
    ]);
    expect((await call('GET', '/environments?project=team')).body.items.map((e) => e.name)).toEqual(['dev']);
    rights = ['list Environment team'];
    expect((await call('GET', '/environments')).body.items.map((e) => e.name)).toEqual(['dev']);
    rights = [];
    expect((await call('GET', '/environments')).body.detail).not.toContain('team');
  });
});

describe('who calls', () => {
  test('is told what is wrong with the token, and waits when nobody can say', async () => {
    const as = (token: string) => call('GET', '/server', undefined, { authorization: `Bearer ${token}` });
    expect(await as('ada')).toMatchObject({ status: 200, body: { user: 'ada', project: null } });
    expect(await as('nobody')).toMatchObject({
      status: 401,
      body: { detail: 'The token is not valid here. Ask an administrator.' },
    });
    expect(await as('away')).toMatchObject({ status: 503 });
  });

  test('is who decides, with the groups that Kubernetes says; `as` is for a laptop', async () => {
    rights = ['update WorkflowRun dev'];
    const path = `${run}/steps/approve/reject`;
    expect(await call('POST', path, { as: 'grace' })).toMatchObject({ status: 403 });
    expect((await call('POST', path, { as: 'ada' })).status).toBe(200);
    const object = await world.store.objects.get('WorkflowRun', 'dev', 'first');
    expect(object?.spec.approvals).toEqual([
      {
        step: 'approve',
        user: 'ada',
        groups: ['editors', 'system:authenticated'],
        decision: 'Reject',
        at: expect.any(String),
      },
    ]);
  });

  test('may be a page of this very site, not of another', async () => {
    rights = [];
    expect((await call('GET', '/server', undefined, { origin: `http://${host}` })).status).toBe(200);
    expect((await call('GET', '/server', undefined, { origin: 'https://evil.example' })).status).toBe(403);
  });
});
