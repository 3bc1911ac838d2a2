import type { MiddlewareHandler } from 'hono';
import type { Access } from './access.ts';
import { RequestProblem } from './errors.ts';

/**
 * Refuses a Host header that is not ours: a page on another site whose name was rebound to 127.0.0.1 sends its own name.
 * An entry without a port stands for every port. Where every name is ours (null), whoever is in front has decided.
 */
export function checkHost(allowedHosts: string[] | null): MiddlewareHandler {
  if (allowedHosts === null) return (_, next) => next();
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

/**
 * Refuses requests that a page of another site makes; browsers send Origin with those, other clients send none. Where every
 * name is ours (null), a page's own site is the one that it calls.
 */
export function checkOrigin(allowedHosts: string[] | null): MiddlewareHandler {
  const always = allowedHosts && new Set(allowedHosts.map((h) => h.toLowerCase()));
  return async (c, next) => {
    const origin = c.req.header('origin');
    const allowed = always ?? new Set([(c.req.header('host') ?? '').toLowerCase()]);
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

/** Demands `Authorization: Bearer <token>` of somebody; handlers find who it is with `callerOf`. */
export function checkToken(access: Access): MiddlewareHandler {
  return async (c, next) => {
    const given = /^Bearer +(\S+)$/i.exec(c.req.header('authorization') ?? '')?.[1];
    const caller = given === undefined ? null : await access.authenticate(given);
    if (caller === null) {
      const what = given === undefined ? 'Send `Authorization: Bearer TOKEN`.' : 'The token is not valid here.';
      throw new RequestProblem('unauthorized', `${what} ${access.hint}`, {
        headers: { 'www-authenticate': 'Bearer realm="windlass"' },
      });
    }
    c.set('caller', caller);
    await next();
  };
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
