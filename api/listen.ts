import type { ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { serve } from '@hono/node-server';
import type { Hono } from 'hono';
import { reachableHost } from './hosts.ts';

const longestBodyMs = 3_600_000;

/** A server that answers until it is closed. */
export interface Listening {
  /** On this machine; with the port that was taken, also when 0 was asked for. */
  url: string;
  /** Takes no new request, ends idle connections and waits for the answers under way. */
  close(): Promise<void>;
}

/** The address cannot be listened on; the message says what to do. */
export class AddressUnavailable extends Error {
  override name = 'AddressUnavailable';
}

/** Serves the app on `host:port`; port 0 takes a free one. @throws AddressUnavailable */
export function listen(app: Hono, address: { host: string; port: number }): Promise<Listening> {
  const { host, port } = address;
  return new Promise((resolve, reject) => {
    const server = serve({ fetch: app.fetch, hostname: host, port }, (info: AddressInfo) => {
      resolve({
        url: `http://${reachableHost(host)}:${info.port}`,
        close: () =>
          new Promise((closed) => {
            server.close(() => closed());
            closing = true;
            endIdle();
          }),
      });
    });
    // A large artifact of a Pod may take longer than Node's five minutes; heads have a limit of their own.
    if ('requestTimeout' in server) server.requestTimeout = longestBodyMs;
    let closing = false;
    const endIdle = () => {
      if (closing && 'closeIdleConnections' in server) server.closeIdleConnections();
    };
    // a connection that falls idle after its last answer would otherwise be waited for until its keep-alive ends
    server.on('request', (_: unknown, response: ServerResponse) => response.once('close', endIdle));
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const why =
        cause.code === 'EADDRINUSE'
          ? 'the port is taken by another program; stop it, or choose another with --port'
          : cause.message;
      reject(new AddressUnavailable(`Cannot listen on ${host}:${port}: ${why}.`, { cause }));
    });
  });
}
