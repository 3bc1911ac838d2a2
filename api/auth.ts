import { createHash, timingSafeEqual } from 'node:crypto';
import type { MiddlewareHandler } from 'hono';
import { RequestProblem } from './errors.ts';

/**
 * Refuses a Host header that is not ours: a page on another site whose name was rebound to 127.0.0.1 sends its own name.
 * An entry without a port stands for every port.
 */
export function checkHost(allowedHosts: string[]): MiddlewareHandler {
  const allowed = new Set(allowedHosts.map((h) => h.toLowerCase()));
  return async (c, next) => {
    const host = c.req.header('host');
    if (host === undefined || !isAllowed(host, allowed)) {
      throw new RequestProblem(
        'misdirected-request',
        `This server answers for ${allowedHosts.join(', ')}, not for ${host ?? 'a request without Host'}.`,
      );
    }
    await next();
  };
}

/** Refuses requests that a page of another site makes; browsers send Origin with those, other clients send none. */
export function checkOrigin(allowedHosts: string[]): MiddlewareHandler {
  const allowed = new Set(allowedHosts.map((h) => h.toLowerCase()));
  return async (c, next) => {
    const origin = c.req.header('origin');
    if (origin !== undefined && !isAllowed(hostOf(origin), allowed)) {
      throw new RequestProblem('forbidden-origin', `Pages of ${origin} may not call this API.`);
    }
    await next();
  };
}

function hostOf(origin: string): string {
  return /^https?:\/\//i.test(origin) && URL.canParse(origin) ? new URL(origin).host : '';
}

function isAllowed(host: string, allowed: ReadonlySet<string>): boolean {
  const wanted = host.toLowerCase();
  return allowed.has(wanted) || allowed.has(wanted.replace(/:\d+$/, ''));
}

/** Demands `Authorization: Bearer <token>`. Digests are compared, so that neither length nor content shows in the time. */
export function checkToken(token: string): MiddlewareHandler {
  const expected = sha256(token);
  return async (c, next) => {
    const given = /^Bearer +(\S+)$/i.exec(c.req.header('authorization') ?? '')?.[1];
    if (given === undefined || !timingSafeEqual(sha256(given), expected)) {
      throw new RequestProblem(
        'unauthorized',
        given === undefined
          ? 'Send `Authorization: Bearer TOKEN`; on a laptop the token is in .windlass/token.'
          : 'The token is not the one of this server; on a laptop it is in .windlass/token.',
        { headers: { 'www-authenticate': 'Bearer realm="windlass"' } },
      );
    }
    await next();
  };
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/** Writes are JSON only: a form of another site cannot send that without asking first. */
export const checkContentType: MiddlewareHandler = async (c, next) => {
  const writes = c.req.method === 'POST' || c.req.method === 'PUT' || c.req.method === 'PATCH';
  const type = (c.req.header('content-type') ?? '').split(';')[0]?.trim().toLowerCase();
  if (writes && type !== 'application/json') {
    throw new RequestProblem('unsupported-media-type', 'Send the body as JSON, with Content-Type: application/json.');
  }
  await next();
};
