import type { Logger } from 'pino';
import type { RunAction, RunObservation } from '../core/run/types.ts';
import type { Clock } from '../seams/clock.ts';
import type { CacheAnswer, LookUp } from '../store/cache-types.ts';
import type { Store } from '../store/types.ts';
import type { Metrics } from './metrics.ts';

export interface RunCacheDependencies {
  store: Pick<Store, 'cache' | 'artifacts'>;
  post(runId: string, observation: RunObservation): void;
  clock: Clock;
  log: Logger;
  metrics: Pick<Metrics, 'cached'>;
}

/** Asks the step cache on behalf of the runs of this replica. */
export interface RunCache {
  /** The answer comes as an observation: at once, or when the unit that makes the entry has ended. */
  lookUp(action: Extract<RunAction, { type: 'LookUp' }>, workflow: string): Promise<void>;
  fill(action: Extract<RunAction, { type: 'Fill' }>): Promise<void>;
  forget(runId: string): void;
  start(): void;
  stop(): Promise<void>;
}

/** A unit that makes an entry may end without one, and its replica may die: nobody tells of that. */
const askAgainMs = 2000;

export function createRunCache({ store, post, clock, log, metrics }: RunCacheDependencies): RunCache {
  /** By what is asked for: of those that ask for the same, one asks and the others hear what it is told. */
  const waiting = new Map<string, Map<string, LookUp>>();
  const asking = new Set<string>();
  let stopFill = () => {};
  let cancel = () => {};
  let passing: Promise<void> | null = null;
  let again = false;

  async function answer(request: LookUp, told: Exclude<CacheAnswer, { type: 'wait' }>): Promise<void> {
    const { runId, step, item, cache } = request;
    if (told.type === 'fill') post(runId, { type: 'CacheMiss', step, item, key: cache.key });
    else {
      const { outputs, artifacts } = told;
      // Nothing refers to them yet but the entry, which may be evicted just now.
      const refs = Object.values(artifacts);
      if (refs.length > 0) await store.artifacts.note(refs);
      post(runId, { type: 'CacheHit', step, item, key: cache.key, outputs, artifacts });
    }
    metrics.cached(request.namespace, request.workflow, told.type === 'hit');
  }

  /** Asks for one; an entry is for all, and to make it is for the one that asked. */
  async function ask(key: string): Promise<void> {
    const group = waiting.get(key);
    const [first] = group ?? [];
    if (!group || !first || asking.has(key)) return;
    asking.add(key);
    try {
      const [id, request] = first;
      const told = await store.cache.lookUp(request);
      if (told.type === 'wait') return;
      const served = told.type === 'hit' ? [...group] : [[id, request] as const];
      for (const [one, its] of served) {
        if (group.get(one) !== its) continue;
        await answer(its, told);
        // Only now: one that could not be answered is asked for again.
        if (group.get(one) === its) group.delete(one);
      }
    } finally {
      asking.delete(key);
      if (group.size === 0) waiting.delete(key);
    }
  }

  function pass(): void {
    again = true;
    passing ??= (async () => {
      try {
        while (again) {
          again = false;
          await Promise.all([...waiting.keys()].map(ask));
        }
      } catch (error) {
        log.warn({ err: error }, 'the step cache could not be asked; it is tried again');
      } finally {
        passing = null;
      }
    })();
  }

  function tick(): void {
    if (waiting.size > 0) pass();
    cancel = clock.at(clock.now() + askAgainMs, tick);
  }

  return {
    async lookUp(action, workflow) {
      const { type: _type, ...asked } = action;
      const request: LookUp = { ...asked, workflow };
      const key = keyOf(request);
      const group = waiting.get(key) ?? new Map<string, LookUp>();
      waiting.set(key, group);
      group.set(`${request.runId} ${request.step} ${request.item}`, request);
      await ask(key);
    },
    async fill(action) {
      const { type: _type, ...entry } = action;
      await store.cache.fill(entry);
    },
    forget(runId) {
      for (const [key, group] of waiting) {
        for (const [id, request] of group) if (request.runId === runId) group.delete(id);
        // One that is asked for just now stays: those who come meanwhile join it, and would be lost when it is over.
        if (group.size === 0 && !asking.has(key)) waiting.delete(key);
      }
    },
    start() {
      stopFill = store.cache.onFill(pass);
      tick();
    },
    async stop() {
      stopFill();
      cancel();
      await passing;
    },
  };
}

/** What makes a difference to the answer. */
function keyOf({ namespace, cache, ttlMs, image }: LookUp): string {
  return JSON.stringify([namespace, cache.key, ttlMs, image]);
}
