import { AwsV4Signer } from 'aws4fetch';
import { createHash } from 'node:crypto';
import { type Dispatcher, request } from 'undici';
import type { S3Credentials } from './credentials.ts';
import type { Clock } from '../seams/clock.ts';

export interface S3Bucket {
  /** Such as https://s3.eu-central-1.amazonaws.com. */
  endpoint: string;
  bucket: string;
  region: string;
  /** The bucket is in the path; otherwise in the host name. */
  pathStyle: boolean;
  credentials: S3Credentials;
}

export interface S3Call {
  method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';
  key: string;
  query?: Record<string, string>;
  body?: Uint8Array;
  /** Only these bytes, first and last. */
  range?: [number, number];
  /** Refusals of these codes are answers; of a 404 without a body, `NotFound`. */
  accept?: readonly string[];
}

/** The server refused, by its own code and words. */
export class S3Refused extends Error {
  override name = 'S3Refused';
  readonly code: string;
  constructor(what: string, code: string, message: string) {
    super(`${what}: ${code}${message === '' ? '' : `: ${message}`}`);
    this.code = code;
  }
}

export type S3Answer =
  | { ok: true; headers: Dispatcher.ResponseData['headers']; body: Dispatcher.ResponseData['body'] }
  | { ok: false; code: string };

const tries = 5;
const firstPauseMs = 200;
/** Without a byte for so long the server is taken to be away. */
const silentMs = 60_000;

/**
 * Signed requests to one bucket. What may come right by itself (no connection, 429, 5xx) is tried 5 times.
 * @throws S3Refused, or undici's error
 */
export function createS3Requests(bucket: S3Bucket, clock: Clock): (call: S3Call) => Promise<S3Answer> {
  return async function send(call) {
    for (let attempt = 1; ; attempt++) {
      try {
        return await sendOnce(bucket, call, clock);
      } catch (error) {
        const passing = !(error instanceof S3Refused) || passes(error.code);
        if (!passing || attempt === tries) throw error;
        const pauseMs = firstPauseMs * 2 ** (attempt - 1);
        await new Promise<void>((resolve) => clock.at(clock.now() + pauseMs, resolve));
      }
    }
  };
}

async function sendOnce(bucket: S3Bucket, call: S3Call, clock: Clock): Promise<S3Answer> {
  const { method, body, range } = call;
  const url = urlOf(bucket, call);
  const { accessKeyId, secretAccessKey, sessionToken } = bucket.credentials;
  const signed = await new AwsV4Signer({
    method,
    url: url.href,
    // The server compares the content with it: what was damaged on the way is refused.
    headers: {
      'x-amz-content-sha256': sha256(body ?? new Uint8Array()),
      ...(range === undefined ? {} : { range: `bytes=${range[0]}-${range[1]}` }),
    },
    accessKeyId,
    secretAccessKey,
    ...(sessionToken === null ? {} : { sessionToken }),
    service: 's3',
    region: bucket.region,
    datetime: new Date(clock.now()).toISOString().replaceAll(/[:-]|\.\d{3}/g, ''),
  }).sign();
  const answer = await request(signed.url, {
    method,
    headers: Object.fromEntries(signed.headers),
    ...(body === undefined ? {} : { body }),
    headersTimeout: silentMs,
    bodyTimeout: silentMs,
  });
  if (answer.statusCode < 300) return { ok: true, headers: answer.headers, body: answer.body };
  const text = await answer.body.text();
  const code = textOf(text, 'Code') ?? (answer.statusCode === 404 ? 'NotFound' : `HTTP ${answer.statusCode}`);
  if (call.accept?.includes(code)) return { ok: false, code };
  const what = `${method} ${url.origin}${url.pathname}`;
  throw new S3Refused(what, code, textOf(text, 'Message') ?? '');
}

/** Whether the same request may be taken a moment later. */
function passes(code: string): boolean {
  return /^(SlowDown|InternalError|ServiceUnavailable|RequestTimeout|OperationAborted|HTTP (429|5\d\d))$/.test(code);
}

function urlOf({ endpoint, bucket, pathStyle }: S3Bucket, { key, query = {} }: S3Call): URL {
  const url = new URL(endpoint);
  if (!pathStyle) url.hostname = `${bucket}.${url.hostname}`;
  const path = pathStyle ? `${bucket}/${key}` : key;
  url.pathname = `${url.pathname.replace(/\/$/, '')}/${path}`;
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  return url;
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

const entities: Record<string, string> = { lt: '<', gt: '>', quot: '"', apos: "'", amp: '&' };

/** The text of the first element of this name; null when there is none. The answers that are read have no nested ones. */
export function textOf(xml: string, name: string): string | null {
  const found = new RegExp(`<${name}(?:\\s[^>]*)?>([^<]*)</${name}>`).exec(xml)?.[1];
  if (found === undefined) return null;
  return found.replaceAll(/&(?:#(\d+)|(lt|gt|quot|apos|amp));/g, (_, number: string | undefined, word: string) =>
    number === undefined ? (entities[word] ?? '') : String.fromCodePoint(Number(number)),
  );
}
