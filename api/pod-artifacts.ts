import { Readable } from 'node:stream';
import type { Context, Hono } from 'hono';
import { type ArtifactStore, ArtifactTooLarge } from '../controller/seams/artifacts.ts';
import type { AppDependencies } from './dependencies.ts';

/** How Pods of steps bring and keep artifacts. */
export interface PodArtifacts {
  store: ArtifactStore;
  /** Most bytes of one artifact. */
  maxBytes: number;
  /** Which run a token's Pod belongs to; null: none. */
  identify(token: string): Promise<{ namespace: string; runId: string } | null>;
}

/**
 * What the helpers of step Pods speak to; nobody else's business, so it is in no document:
 *
 *   PUT  /pod/v1/artifacts             the content; answers {digest, bytes}
 *   GET  /pod/v1/artifacts/{digest}    content that a step of the Pod's own run has kept
 *
 * The token is that of the Pod, for this audience alone.
 */
export function podArtifactRoutes(app: Hono, deps: Pick<AppDependencies, 'store' | 'podArtifacts' | 'log'>): void {
  const { podArtifacts } = deps;
  if (podArtifacts === null) return;

  app.put('/pod/v1/artifacts', async (c) => {
    const run = await runOf(c, podArtifacts);
    if (run === null) return c.text('this token is no step’s', 401);
    const { body } = c.req.raw;
    const content = body === null ? Readable.from([]) : Readable.fromWeb(body as never);
    try {
      return c.json(await podArtifacts.store.put(content, podArtifacts.maxBytes));
    } catch (error) {
      if (error instanceof ArtifactTooLarge) return c.text(error.message, 413);
      deps.log.warn({ err: error }, 'an artifact of a Pod could not be kept; it is tried again');
      return c.text(`it could not be kept: ${(error as Error).message}`, 503);
    }
  });

  app.get('/pod/v1/artifacts/:digest', async (c) => {
    const run = await runOf(c, podArtifacts);
    if (run === null) return c.text('this token is no step’s', 401);
    const digest = c.req.param('digest');
    const row = await deps.store.runs.get(run.runId);
    const own = row?.namespace === run.namespace && (await deps.store.artifacts.isOf(run.runId, digest));
    const found = own ? await podArtifacts.store.get(digest) : null;
    if (found === null) return c.text('there is no such artifact of this run', 404);
    return c.body(Readable.toWeb(found.content) as ReadableStream<Uint8Array>, 200, {
      'content-type': 'application/octet-stream',
      'content-length': String(found.bytes),
    });
  });
}

async function runOf(c: Context, { identify }: PodArtifacts): Promise<{ namespace: string; runId: string } | null> {
  const [, token] = /^Bearer ([A-Za-z0-9._~+/=-]+)$/.exec(c.req.header('authorization') ?? '') ?? [];
  return token === undefined ? null : identify(token);
}
