import type { Logger } from 'pino';
import type { Workflow, WorkflowStatus } from '../../crds/workflow.ts';
import { projectWorkflowStatus, type WorkflowStanding } from '../core/workflow-status.ts';
import { createLoop, type Loop, type Requeue } from '../runtime/loop.ts';
import type { Clock } from '../seams/clock.ts';
import type { Governance } from '../seams/governance.ts';
import type { Store } from '../store/types.ts';
import { digestAnnotation, environmentLabel, isForeign, projectLabel } from './environment-workflows.ts';
import { judgeWorkflow } from './judge-workflow.ts';
import { keyOf, requestedAt, splitKey } from './keys.ts';
import type { Metrics } from './metrics.ts';
import type { KindStatusWriter } from './statuses.ts';
import { createDrifts } from './workflow-drift.ts';

export interface WorkflowReconcilerDependencies {
  store: Store;
  statuses: KindStatusWriter<WorkflowStatus>;
  governance: Governance;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
}

export interface WorkflowReconciler {
  loop: Loop;
  start(): Promise<void>;
  stop(): Promise<void>;
  /** An environment came to own a namespace, let go of it, or changed. */
  namespaceChanged(namespace: string): void;
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
  const drifts = createDrifts(deps);
  const stops: (() => void)[] = [];
  /** What was last seen of each, by key. */
  const seen = new Map<string, string>();

  async function reconcile(key: string): Promise<Requeue> {
    if (!store.isLeader()) return { requeueAt: null };
    const [namespace, name] = splitKey(key);
    const workflow = await store.objects.get('Workflow', namespace, name);
    if (!workflow) return { requeueAt: null };
    const { metadata, status } = workflow;
    statuses.known(metadata, status);
    const { standing, act } = await judge(workflow);
    const handled = metadata.annotations[requestedAt];
    const { generation } = metadata;
    const project = (now: WorkflowStanding) =>
      statuses.offer(
        metadata,
        projectWorkflowStatus(now, { generation, conditions: status?.conditions, handled }, clock.now()),
      );
    project(standing);
    if (!act) return { requeueAt: null };
    // Said before it is put back: whoever watches sees that there was something.
    const { refused, requeueAt } = await act();
    if (refused) project(refused);
    return { requeueAt };
  }

  async function judge(workflow: Workflow): Promise<{
    standing: WorkflowStanding;
    act?: () => Promise<{ refused: WorkflowStanding | null; requeueAt: number | null }>;
  }> {
    const { namespace, name } = workflow.metadata;
    const active = await store.promotions.activeIn(namespace, name);
    if (!active) return { standing: applied(workflow) };
    const { environment, digest, ref, project } = active;
    if (digest === null) return { standing: { type: 'NotPromoted', environment } };
    if (isForeign(workflow)) return { standing: { type: 'NameTaken', environment, digest } };
    const promoted = { type: 'Promoted', environment, digest, ref: ref ?? digest } as const;
    const { drift, revert } = await drifts.judge(workflow, { project, environment, digest });
    return {
      standing: { ...promoted, drift },
      ...(revert
        ? {
            act: async () => {
              const { drift: left, requeueAt } = await revert();
              return { refused: left && { ...promoted, drift: left }, requeueAt };
            },
          }
        : {}),
    };
  }

  return {
    loop,
    namespaceChanged(namespace) {
      for (const key of seen.keys()) if (splitKey(key)[0] === namespace) loop.enqueue(key);
    },
    async start() {
      stops.push(
        await store.objects.watch('Workflow', ({ type, object }) => {
          const { uid, generation, labels, annotations } = object.metadata;
          const key = keyOf(object);
          const marks = [
            labels[projectLabel],
            labels[environmentLabel],
            annotations[digestAnnotation],
            annotations[requestedAt],
          ];
          const version = JSON.stringify([uid, generation, ...marks]);
          if (type === 'Deleted') {
            seen.delete(key);
            drifts.forget(uid);
            statuses.forgetId(uid);
          } else if (seen.get(key) !== version) {
            // Our own status writes come back here; only a new spec, version or request is news.
            seen.set(key, version);
            loop.enqueue(key);
          }
        }),
        store.onLeadership((leader) => {
          if (leader) for (const key of seen.keys()) loop.enqueue(key);
        }),
      );
    },
    async stop() {
      for (const stop of stops) stop();
      await loop.stop();
    },
  };
}

function applied(workflow: Workflow): WorkflowStanding {
  const judged = judgeWorkflow(workflow);
  return judged.ok ? { type: 'Applied', digest: judged.snapshot.digest } : { type: 'Invalid', message: judged.message };
}
