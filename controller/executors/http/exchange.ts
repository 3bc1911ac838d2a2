import { lookup } from 'node:dns/promises';
import { isIP, type LookupFunction } from 'node:net';
import { Client } from 'undici';
import { type AddressPolicy, refusedAddress } from './addresses.ts';

const mebibyte = 1024 * 1024;
const mostRedirects = 5;

/** A request that cannot succeed as it is written; the message says what to change. */
export class RequestRefused extends Error {
  override name = 'RequestRefused';
}

/** All addresses of a name. */
export type Resolve = (hostname: string) => Promise<{ address: string; family: number }[]>;

export const systemResolve: Resolve = (hostname) => lookup(hostname, { all: true });

export interface Exchange {
  method: string;
  url: string;
  /** Lower-case names. */
  headers: Record<string, string>;
  /** Headers that are dropped, beside Authorization and Cookie, when a redirect leads to another origin. */
  secretHeaders: readonly string[];
  body: string | undefined;
}

export interface Answer {
  status: number;
  headers: Record<string, string>;
  body: string;
}

/**
 * Sends a request and follows its redirects. Each name is resolved once, its addresses are judged, and only they are
 * connected to: a name that means another address a moment later changes nothing.
 * @throws RequestRefused, or as the network failed.
 */
export async function exchange(
  request: Exchange,
  options: { policy: AddressPolicy; resolve: Resolve; signal: AbortSignal },
): Promise<Answer> {
  let { method, body } = request;
  let headers = request.headers;
  let url = parseUrl(request.url);
  for (let hop = 0; ; hop++) {
    const answer = await once({ method, url, headers, body }, options);
    const location = answer.headers['location'];
    if (![301, 302, 303, 307, 308].includes(answer.status) || location === undefined) return answer;
    if (hop === mostRedirects)
      throw new RequestRefused(`more than ${mostRedirects} redirects, the last to ${location}`);
    const next = parseUrl(location, url);
    if (next.origin !== url.origin) headers = withoutCredentials(headers, request.secretHeaders);
    // As browsers do: the answer to a form is fetched, not posted again.
    if (answer.status === 303 ? method !== 'HEAD' : answer.status < 303 && method === 'POST') {
      method = 'GET';
      body = undefined;
      headers = without(headers, ['content-type', 'content-length', 'content-encoding']);
    }
    url = next;
  }
}

async function once(
  request: { method: string; url: URL; headers: Record<string, string>; body: string | undefined },
  options: { policy: AddressPolicy; resolve: Resolve; signal: AbortSignal },
): Promise<Answer> {
  const { url } = request;
  const addresses = await permitted(url, options);
  const pinned: LookupFunction = (_name, wanted, answer) => {
    const [first] = addresses;
    if (wanted.all) answer(null, addresses);
    else answer(null, first?.address ?? '', first?.family);
  };
  // A connection of its own: a pool would hand out one that was made for an earlier answer of the name server.
  const client = new Client(url.origin, { connect: { lookup: pinned }, maxHeaderSize: 64 * 1024, pipelining: 0 });
  try {
    const response = await client.request({
      path: url.pathname + url.search,
      method: request.method,
      headers: request.headers,
      body: request.body ?? null,
      signal: options.signal,
    });
    return {
      status: response.statusCode,
      headers: joined(response.headers),
      body: await readBody(response.body),
    };
  } finally {
    await client.destroy();
  }
}

async function permitted(
  url: URL,
  options: { policy: AddressPolicy; resolve: Resolve; signal: AbortSignal },
): Promise<{ address: string; family: number }[]> {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const family = isIP(host);
  const found = family ? [{ address: host, family }] : await abortable(options.resolve(host), options.signal);
  const refusals = found.map(({ address }) => refusedAddress(address, options.policy));
  const allowed = found.filter((_, index) => refusals[index] === null);
  if (allowed.length > 0) return allowed;
  throw new RequestRefused(
    `${url.hostname} is ${found[0]?.address ?? 'nowhere'}, which steps must not reach (${refusals[0] ?? 'no address'})`,
  );
}

function parseUrl(text: string, base?: URL): URL {
  if (!URL.canParse(text, base)) throw new RequestRefused(`not a URL: ${text}`);
  const url = new URL(text, base);
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new RequestRefused(`only http and https, not ${url.protocol}`);
  if (url.username || url.password) throw new RequestRefused('a URL must not hold a password; use secretHeaders');
  return url;
}

function withoutCredentials(headers: Record<string, string>, secret: readonly string[]): Record<string, string> {
  return without(headers, ['authorization', 'cookie', 'proxy-authorization', ...secret.map((n) => n.toLowerCase())]);
}

function without(headers: Record<string, string>, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !names.includes(name)));
}

function joined(headers: Record<string, string | string[] | undefined>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [
      name.toLowerCase(),
      Array.isArray(value) ? value.join(', ') : (value ?? ''),
    ]),
  );
}

async function readBody(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.length;
    if (length > mebibyte) throw new RequestRefused('the answer is larger than 1 MiB');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** A name server may take longer than the step has. */
function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason as Error);
    if (signal.aborted) return abort();
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
