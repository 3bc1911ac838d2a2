import type { Logger } from 'pino';
import type { Environment, EnvironmentStatus } from '../../crds/environment.ts';
import type { Promotion, PromotionStatus } from '../../crds/promotion.ts';
import { automaticLabel } from '../core/promotion/create.ts';
import { decidePromotion } from '../core/promotion/decide.ts';
import { lostHistory } from '../core/promotion/history-lost.ts';
import { type EnvironmentView, projectEnvironmentStatus, projectPromotionStatus } from '../core/promotion/project.ts';
import { findProblem } from '../core/promotion/problem.ts';
import type { PromotionDecision, PromotionRow } from '../core/promotion/types.ts';
import { createLoop, type Loop, type Requeue } from '../runtime/loop.ts';
import type { Clock } from '../seams/clock.ts';
import type { Governance } from '../seams/governance.ts';
import { ObjectConflict, ObjectRefused } from '../seams/objects.ts';
import type { Store } from '../store/types.ts';
import { gatherPromotionFacts, promotionsInto, type PromotionWorld, supplyFacts } from './environment-facts.ts';
import { retireProjections, syncProjections } from './environment-workflows.ts';
import { keyOf, requestedAt, splitKey } from './keys.ts';
import { mustLead } from './leads.ts';
import type { Metrics } from './metrics.ts';
import { mistakesIn } from './mistakes.ts';
import type { Repositories } from './repositories.ts';
import type { KindStatusWriter } from './statuses.ts';

export interface EnvironmentReconcilerDependencies {
  store: Store;
  repositories: Repositories;
  statuses: KindStatusWriter<EnvironmentStatus>;
  promotionStatuses: KindStatusWriter<PromotionStatus>;
  governance: Governance;
  /** Called when an environment came to own a namespace, let go of it, or changed. */
  onNamespace(namespace: string): void;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
}

export interface EnvironmentReconciler {
  loop: Loop;
  start(): Promise<void>;
  stop(): Promise<void>;
  /** A source's refs may have changed. */
  sourceFetched(project: string, source: string): void;
  /** A run of an environment ended: gates downstream count it. */
  runFinished(environment: string | null): void;
}

/** Other replicas' runs are not announced, so waiting promotions are looked at again this often. */
const waitingIntervalMs = 10_000;
/** What changes unseen, such as the label of a namespace, is found within this. */
const idleIntervalMs = 60_000;
/** Runs may end by the hundred in a second; gates that count them need not look at each. */
const countingPauseMs = 1000;
/** Every round supplies facts that were asked for; more rounds than this is a defect. */
const factRounds = 50;

/** Promotes versions into environments. A Promotion is decided as part of its Environment, never by itself. */
export function createEnvironmentReconciler(deps: EnvironmentReconcilerDependencies): EnvironmentReconciler {
  const { store, statuses, promotionStatuses, governance, clock, log, metrics } = deps;
  const loop = createLoop({
    name: 'environment',
    clock,
    concurrency: 4,
    reconcile,
    observe: metrics.reconciled('environment', log),
  });
  const environments = new Map<string, Environment>();
  const stops: (() => void)[] = [];
  /** By key: the namespace that was owned when it was looked at last, and of which generation. */
  const owned = new Map<string, { namespace: string; generation: number }>();
  /** Environments whose ended runs were looked at a moment ago, and whether more have ended since. */
  const pauses = new Map<string, { again: boolean; cancel: () => void }>();
  let stopped = false;

  async function reconcile(key: string): Promise<Requeue> {
    if (!store.isLeader()) return { requeueAt: null };
    const [project, name] = splitKey(key);
    const environment = await store.objects.get('Environment', project, name);
    if (!environment) return await remove(project, name);
    statuses.known(environment.metadata, environment.status);
    const mistakes = mistakesIn(environment);
    if (mistakes.length > 0) {
      await hold(environment, { reason: 'InvalidEnvironment', message: mistakes.join('\n') });
      return { requeueAt: null };
    }
    const namespace = environment.spec.namespace ?? name;
    const verdict = await governance.admits(project, namespace);
    if (!verdict.ok) return await hold(environment, verdict);
    const owner = { project, name, uid: environment.metadata.uid };
    if (!(await store.promotions.own(owner, namespace, clock.now()))) {
      const message = `Namespace ${namespace} belongs to another environment; give this one a spec.namespace of its own.`;
      return await hold(environment, { reason: 'NamespaceTaken', message });
    }
    noteOwned(key, namespace, environment.metadata.generation);
    const recorded = await store.promotions.revision(project, name);
    const lost = lostHistory(environment, recorded);
    if (lost) return await hold(environment, lost);

    const { world, decision } = await decide(environment);
    const revision = await commit(environment, world, decision);
    const refused = await perform(environment, decision);
    await writeStatuses(
      environment,
      world,
      { ...decision, stalled: decision.stalled ?? refused },
      revision ?? recorded,
    );
    if (decision.activate.length > 0) {
      enqueueDownstream(name);
      // Also those there that are not its own, and so were not touched.
      deps.onNamespace(namespace);
    }
    const waits = refused !== null || world.promotions.some(({ row }) => row.finishedAt === null);
    return { requeueAt: decision.wakeAt ?? clock.now() + (waits ? waitingIntervalMs : idleIntervalMs) };
  }

  async function decide(environment: Environment): Promise<{ world: PromotionWorld; decision: PromotionDecision }> {
    const world = await gatherPromotionFacts(deps, environment);
    let decision = decidePromotion(world.facts, clock.now());
    for (let round = 0; decision.read.length + decision.ancestry.length > 0; round++) {
      if (round === factRounds)
        throw new Error(`deciding about ${environment.metadata.name} asks for facts without end`);
      if (!(await supplyFacts(deps, world, decision))) break;
      decision = decidePromotion(world.facts, clock.now());
    }
    return { world, decision };
  }

  async function commit(
    environment: Environment,
    world: PromotionWorld,
    decision: PromotionDecision,
  ): Promise<number | null> {
    const { promotions, activate, names, events } = decision;
    if (promotions.length + activate.length + names.length + events.length === 0) return null;
    const { namespace, name, uid } = environment.metadata;
    const { revision } = await store.promotions.commit({ project: namespace, name, uid }, decision, clock.now());
    // A finished row may change once more (its tag was moved); it is counted when it ends.
    const open = new Set(world.promotions.filter(({ row }) => row.finishedAt === null).map(({ row }) => row.id));
    metrics.promoted(promotions.filter(({ id }) => open.has(id)));
    await store.approvals.forget(promotions.flatMap((row) => (row.finishedAt === null ? [] : [row.id])));
    return revision;
  }

  /** Returns what a person must put right before all of it can be done; the world failing throws. */
  async function perform(environment: Environment, decision: PromotionDecision): Promise<PromotionDecision['stalled']> {
    try {
      await createPromotions(environment, decision);
      const { taken } = await syncProjections(store, environment);
      if (taken.length === 0) return null;
      const where = environment.spec.namespace ?? environment.metadata.name;
      const message = `Not put into ${where}, as a Workflow of somebody else has the name: ${taken.join(', ')}. Delete those there, or promote them under other names.`;
      return { reason: 'NameTaken', message };
    } catch (error) {
      // A quota, an admission policy, a missing permission, a namespace that is going.
      if (!(error instanceof ObjectRefused || error instanceof ObjectConflict)) throw error;
      return { reason: 'Refused', message: `${error.message}. It is tried again every ${waitingIntervalMs / 1000} s.` };
    }
  }

  async function createPromotions(environment: Environment, decision: PromotionDecision): Promise<void> {
    const { namespace, name } = environment.metadata;
    for (const { name: promotion, ref } of decision.create) {
      mustLead(store);
      try {
        await store.objects.create({
          kind: 'Promotion',
          metadata: {
            name: promotion,
            namespace,
            labels: { 'windlass.dev/environment': name, [automaticLabel]: 'true' },
          },
          spec: { environment: name, ref },
        });
      } catch (error) {
        // The name is made of the ref and its commit, so whoever has it means the same promotion.
        if (!(error instanceof ObjectConflict && error.reason === 'AlreadyExists')) throw error;
      }
    }
  }

  async function writeStatuses(
    environment: Environment,
    world: PromotionWorld,
    decision: PromotionDecision,
    revision: number,
  ): Promise<void> {
    const now = clock.now();
    const changed = new Map(decision.promotions.map((row) => [row.id, row]));
    const rows = world.promotions.map(({ row }) => changed.get(row.id) ?? row);
    for (const { row, object } of world.promotions) {
      const next = changed.get(row.id) ?? row;
      if (!object) continue;
      const settled = next.finishedAt !== null && !changed.has(row.id) && object.status?.phase === next.phase;
      if (settled && !isNews(object)) continue;
      offerPromotion(object, next, now);
    }
    writeStatus(environment, {
      revision,
      sourceError: world.facts.source?.error ?? null,
      stalled: decision.stalled,
      problem: findProblem(world.facts),
      active: await store.promotions.active(environment.metadata.namespace, environment.metadata.name),
      promotions: rows,
    });
  }

  function writeStatus(
    { metadata, spec, status }: Environment,
    view: Pick<EnvironmentView, 'revision' | 'sourceError' | 'stalled' | 'problem' | 'active' | 'promotions'>,
  ): void {
    const next = projectEnvironmentStatus(
      {
        ...view,
        generation: metadata.generation,
        handled: metadata.annotations[requestedAt],
        namespace: spec.namespace ?? metadata.name,
        suspended: spec.suspend ?? false,
        conditions: status?.conditions,
      },
      clock.now(),
    );
    statuses.offer(metadata, next);
  }

  /** It owns no namespace, may not touch it, or its history is lost: nothing is decided, and whatever waits says why. */
  async function hold(environment: Environment, stalled: { reason: string; message: string }): Promise<Requeue> {
    const { namespace: project, name } = environment.metadata;
    const promotions = await promotionsInto(deps, project, name);
    for (const { row, object } of promotions) {
      if (object && row.finishedAt === null) offerPromotion(object, { ...row, ...stalled }, clock.now());
    }
    writeStatus(environment, {
      // What was written last may not have come back yet, and what is lost stays ahead of what is recorded.
      revision: Math.max(environment.status?.revision ?? 0, await store.promotions.revision(project, name)),
      sourceError: null,
      stalled,
      problem: null,
      active: await store.promotions.active(project, name),
      promotions: promotions.map(({ row }) => row),
    });
    // The other environment may let go of it; the namespace may be made, or agree.
    return { requeueAt: clock.now() + waitingIntervalMs };
  }

  function noteOwned(key: string, namespace: string, generation: number): void {
    const before = owned.get(key);
    if (before?.namespace === namespace && before.generation === generation) return;
    owned.set(key, { namespace, generation });
    if (before && before.namespace !== namespace) deps.onNamespace(before.namespace);
    deps.onNamespace(namespace);
  }

  async function remove(project: string, name: string): Promise<Requeue> {
    await store.promotions.disown(project, name);
    await retireProjections(store, project, name);
    const had = owned.get(`${project}/${name}`);
    owned.delete(`${project}/${name}`);
    if (had) deps.onNamespace(had.namespace);
    for (const { row, object } of await promotionsInto(deps, project, name)) {
      if (object && row.finishedAt === null) writeNoEnvironment(row, object);
    }
    return { requeueAt: null };
  }

  /** What no environment has judged yet goes on once there is one; the rest ends then, as it was meant for another. */
  function writeNoEnvironment(row: PromotionRow, object: Promotion): void {
    const message = `There is no Environment ${object.spec.environment} in ${object.metadata.namespace}; apply it, or delete this Promotion.`;
    offerPromotion(object, { ...row, reason: 'EnvironmentNotFound', message }, clock.now());
  }

  function offerPromotion({ metadata, status }: Promotion, row: PromotionRow, now: number): void {
    promotionStatuses.known(metadata, status);
    const handled = metadata.annotations[requestedAt];
    const next = projectPromotionStatus(row, metadata.generation, status?.conditions, now, handled);
    promotionStatuses.offer(metadata, next, row.finishedAt !== null);
  }

  function sourceFetched(project: string, source: string): void {
    for (const [key, { metadata, spec }] of environments) {
      if (metadata.namespace === project && spec.source.name === source) loop.enqueue(key);
    }
  }

  function enqueueDownstream(name: string): void {
    for (const [key, environment] of environments) if (environment.spec.after?.includes(name)) loop.enqueue(key);
  }

  function runFinished(environment: string | null): void {
    if (environment === null || stopped) return;
    const pause = pauses.get(environment);
    if (pause) {
      pause.again = true;
      return;
    }
    enqueueDownstream(environment);
    const begun = {
      again: false,
      cancel: clock.at(clock.now() + countingPauseMs, () => {
        pauses.delete(environment);
        if (begun.again) runFinished(environment);
      }),
    };
    pauses.set(environment, begun);
  }

  return {
    loop,
    sourceFetched,
    runFinished,
    async start() {
      const seen = new Map<string, string>();
      stops.push(
        await store.objects.watch('Environment', ({ type, object }) => {
          const key = keyOf(object);
          const before = environments.get(key);
          if (type === 'Deleted') {
            environments.delete(key);
            statuses.forgetId(object.metadata.uid);
          } else environments.set(key, object);
          // Those after it wait for it to be there.
          if (type === 'Deleted' || before === undefined) enqueueDownstream(object.metadata.name);
          // Our own status writes come back here; only a new spec or a request is news.
          if (type === 'Deleted' || before === undefined || asked(before) !== asked(object)) loop.enqueue(key);
        }),
        await store.objects.watch('WorkflowSource', ({ type, object }) => {
          const { uid, namespace, name } = object.metadata;
          const ready = object.status?.conditions?.find((condition) => condition.type === 'Ready');
          const version = JSON.stringify([ready?.status, ready?.reason, ready?.message]);
          if (type === 'Deleted') seen.delete(uid);
          else if (seen.get(uid) === version) return;
          else seen.set(uid, version);
          // What could not be read a moment ago can be now, or the other way round: it is written after the fetch is told.
          sourceFetched(namespace, name);
        }),
        await store.objects.watch('Promotion', ({ type, object }) => {
          if (type === 'Deleted') promotionStatuses.forgetId(object.metadata.uid);
          if (type === 'Deleted' || isNews(object)) {
            loop.enqueue(`${object.metadata.namespace}/${object.spec.environment}`);
          }
        }),
        await store.objects.watch('Workflow', ({ type, object }) => {
          const { uid, generation, labels, annotations } = object.metadata;
          const version = JSON.stringify([generation, labels, annotations]);
          if (type === 'Deleted') seen.delete(uid);
          else if (seen.get(uid) === version) return;
          else seen.set(uid, version);
          // Whoever edits a projection: it is made what was promoted again. Statuses come here too and are no news.
          for (const [key, { metadata, spec }] of environments) {
            if ((spec.namespace ?? metadata.name) === object.metadata.namespace) loop.enqueue(key);
          }
        }),
        governance.watchNamespaces((namespace) => {
          for (const [key, { metadata, spec }] of environments) {
            if ((spec.namespace ?? metadata.name) === namespace) loop.enqueue(key);
          }
        }),
        store.onLeadership((leader) => {
          if (leader) for (const key of environments.keys()) loop.enqueue(key);
        }),
      );
    },
    async stop() {
      stopped = true;
      for (const { cancel } of pauses.values()) cancel();
      for (const stop of stops) stop();
      await loop.stop();
    },
  };
}

/** What a person asked for, other than by promotions. */
function asked({ metadata }: Environment): string {
  return `${metadata.uid} ${metadata.generation} ${metadata.annotations[requestedAt] ?? ''}`;
}

/** Whether its status does not answer its spec, or a request, yet. */
function isNews({ metadata, status }: Promotion): boolean {
  return (
    status?.observedGeneration !== metadata.generation ||
    status.lastHandledReconcileAt !== metadata.annotations[requestedAt]
  );
}
