import { Hono } from 'hono';
import { describe, expect, test } from 'vitest';
import { KubernetesError } from '../controller/kubernetes/errors.ts';
import { ObjectConflict, ObjectRefused } from '../controller/seams/objects.ts';
import { AccessUnknown } from './access.ts';
import { problemResponse, RequestProblem } from './errors.ts';

async function answer(error: unknown) {
  const logged: string[] = [];
  const app = new Hono();
  app.onError((e, c) => problemResponse(e, c, { error: (_, message) => void logged.push(message), warn: () => {} }));
  app.get('/x', () => {
    throw error;
  });
  const response = await app.request('/x');
  return { response, body: (await response.json()) as { detail: string }, logged };
}

const kubernetes = (code: number) =>
  new KubernetesError('GET', '/x', {
    code,
    reason: '',
    message: 'query failed',
    causes: [],
    about: null,
    retryAfterMs: 1,
  });
const caused = (message: string, cause: object) =>
  new Error(message, { cause: Object.assign(new Error('inner'), cause) });

describe('what a handler throws', () => {
  test.each([
    ['a refusal', new RequestProblem('conflict', 'no'), 409],
    ['a name that is taken', new ObjectConflict('AlreadyExists', 'taken'), 409],
    ['an object that went away', new ObjectConflict('NotFound', 'gone'), 404],
    ['what the login may not do', new ObjectRefused('Forbidden', 'no', null), 403],
    ['what the schema refuses', new ObjectRefused('Invalid', 'no', null), 422],
    ['nobody who can say who calls', new AccessUnknown('wait'), 503],
    ['an API server that is overloaded', kubernetes(429), 503],
    ['an API server that has a fault', kubernetes(500), 503],
    ['no API server', caused('the Kubernetes API did not answer GET /x: ECONNREFUSED', { code: 'ECONNREFUSED' }), 503],
    ['a mistake of ours to the API server', kubernetes(400), 500],
    ['a cursor of another list', Object.assign(new Error('x'), { name: 'InvalidCursor' }), 400],
    ['no connection', caused('query failed', { code: 'ECONNREFUSED' }), 503],
    ['a pool that was closed', caused('query failed', { code: 'CONNECTION_ENDED' }), 503],
    ['a server that shuts down', caused('query failed', { code: '57P01' }), 503],
    ['too many connections', caused('query failed', { code: '53300' }), 503],
    ['a full disk', caused('query failed', { code: '53100' }), 503],
    ['a query that is wrong', caused('query failed', { code: '42601' }), 500],
    ['a mistake of ours', new TypeError('x is not a function'), 500],
  ])('%s', async (_, error, status) => {
    const { response, body, logged } = await answer(error);
    expect(response.status).toBe(status);
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    expect(body).toMatchObject({
      status,
      instance: '/x',
      type: expect.stringMatching(/^https:/),
      title: expect.any(String),
    });
    expect(response.headers.get('retry-after')).toBe(status === 503 ? '2' : null);
    expect(logged).toHaveLength(status >= 500 ? 1 : 0);
    const internals = /query failed|inner|is not a function|GET/;
    expect(body.detail).not.toMatch(internals);
  });
});
