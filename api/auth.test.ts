import { describe, expect, test } from 'vitest';
import type { Store } from '../controller/store/types.ts';
import { dependencies, host, token } from '../test/fixtures/api.ts';
import { createApp } from './app.ts';

// nothing here reaches the database: that is the point
const app = createApp(dependencies({ driver: 'pglite' } as Store));

function request(path: string, headers: Record<string, string>, init: RequestInit = {}) {
  return app.request(`http://${host}${path}`, { ...init, headers: { host, ...headers } });
}
const bearer = { authorization: `Bearer ${token}` };

describe('the token', () => {
  test.each([
    ['none', {}, 401],
    ['a wrong one', { authorization: 'Bearer nonsense' }, 401],
    ['a prefix of it', { authorization: `Bearer ${token.slice(0, -1)}` }, 401],
    ['another scheme', { authorization: `Basic ${token}` }, 401],
    ['the right one', bearer, 200],
    ['the right one, scheme in lower case', { authorization: `bearer ${token}` }, 200],
  ])('%s', async (_, headers, status) => {
    const response = await request('/api/v1/server', headers);
    expect(response.status).toBe(status);
    expect(response.headers.get('www-authenticate')).toBe(status === 401 ? 'Bearer realm="windlass"' : null);
  });

  test('is asked for before a path is looked up', async () => {
    expect((await request('/api/v1/nothing', {})).status).toBe(401);
    expect((await request('/api/v1/nothing', bearer)).status).toBe(404);
  });

  test.each(['/healthz', '/readyz', '/metrics', '/openapi.json', '/docs', '/docs/start.js', '/docs/swagger-ui.css'])(
    'is not asked for at %s',
    async (path) => {
      expect((await request(path, {})).status).toBe(200);
    },
  );
});

describe('the Host header', () => {
  test.each([
    [host, 200],
    ['localhost:4711', 200],
    ['LOCALHOST', 200],
    ['127.0.0.1:9999', 421],
    ['evil.example', 421],
    ['localhost.evil.example', 421],
  ])('%s → %i', async (name, status) => {
    expect((await request('/healthz', { host: name })).status).toBe(status);
  });

  test('is needed', async () => {
    expect((await app.request(`http://${host}/healthz`)).status).toBe(421);
  });
});

describe('the Origin header', () => {
  test.each([
    [`http://${host}`, 200],
    ['http://localhost:3000', 200],
    ['https://evil.example', 403],
    ['null', 403],
    ['file://localhost', 403],
  ])('%s → %i', async (origin, status) => {
    expect((await request('/api/v1/server', { ...bearer, origin })).status).toBe(status);
  });
});

describe('the body', () => {
  const path = '/api/v1/promotions';
  test.each([
    ['a form', 'application/x-www-form-urlencoded', 415],
    ['text', 'text/plain', 415],
    ['JSON that is none', 'application/json', 400],
  ])('%s', async (_, type, status) => {
    const response = await request(path, { ...bearer, 'content-type': type }, { method: 'POST', body: 'a=1' });
    expect(response.status).toBe(status);
    expect(response.headers.get('content-type')).toBe('application/problem+json');
  });

  test('is at most 2 MiB', async () => {
    const body = JSON.stringify({ environment: 'x'.repeat(2 * 1024 * 1024) });
    const headers = { ...bearer, 'content-type': 'application/json' };
    const told = await request(path, { ...headers, 'content-length': String(body.length) }, { method: 'POST', body });
    expect(told.status).toBe(413);
    const stream = new Blob([body]).stream();
    const untold = await request(path, headers, { method: 'POST', body: stream, duplex: 'half' } as RequestInit);
    expect(untold.status).toBe(413);
  });
});

test('answers carry headers that keep browsers from guessing, framing and caching', async () => {
  const { headers } = await request('/api/v1/server', bearer);
  expect(headers.get('x-content-type-options')).toBe('nosniff');
  expect(headers.get('content-security-policy')).toContain("default-src 'none'");
  expect(headers.get('x-frame-options')).toBeTruthy();
  expect(headers.get('cache-control')).toBe('no-store');
});

test('whoever opens the address is shown the documentation', async () => {
  const { status, headers } = await request('/', {});
  expect([status, headers.get('location')]).toEqual([302, '/docs']);
});

test('the documentation page loads from here only, and what it loads is served', async () => {
  const response = await request('/docs', {});
  expect(response.headers.get('content-security-policy')).toContain("script-src 'self'");
  const html = await response.text();
  const links = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, link]) => link);
  expect(links.length).toBeGreaterThan(2);
  for (const link of links) expect([link, (await request(`/${link}`, {})).status]).toEqual([link, 200]);
});

test('requests are counted by operation', async () => {
  await request('/api/v1/server', bearer);
  const text = await (await request('/metrics', {})).text();
  expect(text).toMatch(/windlass_http_requests_total\{method="GET",route="\/api\/v1\/server",status="200"\} \d+/);
});

test('a method that a path does not have is 405 with those it has', async () => {
  const response = await request(
    '/api/v1/server',
    { ...bearer, 'content-type': 'application/json' },
    { method: 'PUT', body: '{}' },
  );
  expect(response.status).toBe(405);
  expect(response.headers.get('allow')).toBe('GET, HEAD');
  expect(await response.json()).toMatchObject({ status: 405, instance: '/api/v1/server' });
});
