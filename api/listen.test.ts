import { describe, expect, test } from 'vitest';
import type { Store } from '../controller/store/types.ts';
import { dependencies, token } from '../test/fixtures/api.ts';
import { createApp } from './app.ts';
import { createClient } from './client.ts';
import { AddressUnavailable, listen } from './listen.ts';

const app = (closing?: AbortSignal) => {
  const events = { list: async () => [], onAppend: () => () => {} };
  const store = { driver: 'pglite', events } as unknown as Store;
  return createApp(
    dependencies(store, {
      access: { ...dependencies(store).access, allowedHosts: ['127.0.0.1'] },
      ...(closing ? { closing } : {}),
    }),
  );
};
const loopback = { host: '127.0.0.1', port: 0 };

describe('a listening server', () => {
  test('answers at its url, whatever port it took, until it is closed', async () => {
    const server = await listen(app(), loopback);
    const client = createClient({ server: server.url, token });
    expect(await client.server()).toMatchObject({ project: 'default' });
    await expect(createClient({ server: server.url, token: 'another' }).server()).rejects.toMatchObject({
      status: 401,
    });
    await server.close();
    await expect(client.server()).rejects.toThrow('fetch failed');
  });

  test('says what to do when the port is taken', async () => {
    const server = await listen(app(), loopback);
    const port = Number(new URL(server.url).port);
    const second = listen(app(), { ...loopback, port });
    await expect(second).rejects.toThrow(AddressUnavailable);
    await expect(second).rejects.toThrow(/taken.*--port/);
    await server.close();
  });

  test('closes though someone follows a stream', async () => {
    const closing = new AbortController();
    const server = await listen(app(closing.signal), loopback);
    const response = await fetch(new URL('/api/v1/events', server.url), {
      headers: { authorization: `Bearer ${token}`, accept: 'text/event-stream' },
    });
    closing.abort();
    const text = response.text();
    await server.close();
    expect(await text).toBe(': open\n\n');
  });
});
