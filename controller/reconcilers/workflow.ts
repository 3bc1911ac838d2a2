import type { Logger } from 'pino';
import type { Workflow, WorkflowStatus } from '../../crds/workflow.ts';
import { type Assertion, nextConditions } from '../core/conditions.ts';
import { createLoop, type Loop, type Requeue } from '../runtime/loop.ts';
import type { Clock } from '../seams/clock.ts';
import type { Store } from '../store/types.ts';
import { digestAnnotation } from './environment-workflows.ts';
import { judgeWorkflow } from './judge-workflow.ts';
import { keyOf, splitKey } from './keys.ts';
import type { Metrics } from './metrics.ts';
import type { KindStatusWriter } from './statuses.ts';

export interface WorkflowReconcilerDependencies {
  store: Store;
  statuses: KindStatusWriter<WorkflowStatus>;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
}

export interface WorkflowReconciler {
  loop: Loop;
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Says of every Workflow whether it can run: promoted where an environment owns the namespace, linted elsewhere. */
export function createWorkflowReconciler(deps: WorkflowReconcilerDependencies): WorkflowReconciler {
  const { store, statuses, clock, log, metrics } = deps;
  const loop = createLoop({
    name: 'workflow',
    clock,
    concurrency: 4,
    reconcile,
    observe: metrics.reconciled('workflow', log),
  });
  const stops: (() => void)[] = [];

  async function reconcile(key: string): Promise<Requeue> {
    if (!store.isLeader()) return { requeueAt: null };
    const [namespace, name] = splitKey(key);
    const workflow = await store.objects.get('Workflow', namespace, name);
    if (!workflow) return { requeueAt: null };
    const active = await store.promotions.activeIn(namespace, name);
    const { digest, assertions } = active ? promoted(active) : applied(workflow);
    const { metadata, status } = workflow;
    statuses.known(metadata, status);
    statuses.offer(metadata, {
      observedGeneration: metadata.generation,
      ...(digest ? { digest } : {}),
      conditions: nextConditions(status?.conditions, assertions, metadata.generation, clock.now()),
    });
    return { requeueAt: null };
  }

  return {
    loop,
    async start() {
      const seen = new Map<string, string>();
      stops.push(
        await store.objects.watch('Workflow', ({ type, object }) => {
          const { uid, generation, annotations } = object.metadata;
          const version = `${generation} ${annotations[digestAnnotation] ?? ''}`;
          if (type === 'Deleted') {
            seen.delete(uid);
            statuses.forgetId(uid);
          } else if (seen.get(uid) !== version) {
            // Our own status writes come back here; only a new spec or version is news.
            seen.set(uid, version);
            loop.enqueue(keyOf(object));
          }
        }),
      );
    },
    async stop() {
      for (const stop of stops) stop();
      await loop.stop();
    },
  };
}

function promoted(active: { environment: string; digest: string | null; ref: string | null }): {
  digest: string | null;
  assertions: Assertion[];
} {
  if (active.digest !== null) {
    const message = `${active.ref ?? active.digest} is active in ${active.environment}.`;
    return { digest: active.digest, assertions: [{ type: 'Ready', status: 'True', reason: 'Promoted', message }] };
  }
  const message = `Environment ${active.environment} owns this namespace and no version was promoted; merge or tag one, or apply this workflow to another namespace.`;
  return { digest: null, assertions: notReady('NotPromoted', message) };
}

function applied(workflow: Workflow): { digest: string | null; assertions: Assertion[] } {
  const judged = judgeWorkflow(workflow);
  if (!judged.ok) return { digest: null, assertions: notReady('InvalidWorkflow', judged.message) };
  const message = 'Runs take the workflow as it is when they start.';
  return {
    digest: judged.snapshot.digest,
    assertions: [{ type: 'Ready', status: 'True', reason: 'Applied', message }],
  };
}

function notReady(reason: string, message: string): Assertion[] {
  return [
    { type: 'Ready', status: 'False', reason, message },
    { type: 'Stalled', status: 'True', reason, message },
  ];
}
