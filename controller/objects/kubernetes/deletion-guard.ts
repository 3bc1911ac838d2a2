import type { KubernetesClient } from '../../kubernetes/client.ts';
import { isRefusal } from '../../kubernetes/errors.ts';
import { type DeletionGuard, type RunKey, runFinalizer } from '../../seams/deletion.ts';
import { isFailedTest, isNotFound, seamError } from './errors.ts';
import { pathOf, type RawObject } from './raw.ts';

const kind = 'WorkflowRun';

/** Keeps WorkflowRuns by a finalizer: the Pods of a run are owned by its object, and would go with it. */
export function createDeletionGuard(client: KubernetesClient, fieldManager: string): DeletionGuard {
  async function find({ namespace, name, uid }: RunKey): Promise<RawObject | null> {
    try {
      const raw = await client.request<RawObject>('GET', pathOf(kind, namespace, name));
      return raw.metadata.uid === uid ? raw : null;
    } catch (error) {
      if (isNotFound(error)) return null;
      throw seamError(error, 'get', kind, namespace, name);
    }
  }

  /** Again from the start when another writer was first. */
  async function change(run: RunKey, next: (raw: RawObject) => string[] | null): Promise<void> {
    for (;;) {
      const raw = await find(run);
      const finalizers = raw && next(raw);
      if (!raw || !finalizers) return;
      try {
        await client.request('PATCH', pathOf(kind, run.namespace, run.name), {
          query: { fieldManager },
          contentType: 'application/json-patch+json',
          body: [
            { op: 'test', path: '/metadata/resourceVersion', value: raw.metadata.resourceVersion },
            { op: 'add', path: '/metadata/finalizers', value: finalizers },
          ],
        });
        return;
      } catch (error) {
        if (isNotFound(error)) return;
        if (!isFailedTest(error)) throw seamError(error, 'change the finalizers of', kind, run.namespace, run.name);
      }
    }
  }

  return {
    hold: (run) =>
      change(run, ({ metadata: { finalizers = [], deletionTimestamp } }) =>
        deletionTimestamp !== undefined || finalizers.includes(runFinalizer) ? null : [...finalizers, runFinalizer],
      ),
    letGo: (run) =>
      change(run, ({ metadata: { finalizers = [] } }) =>
        finalizers.includes(runFinalizer) ? finalizers.filter((finalizer) => finalizer !== runFinalizer) : null,
      ),
    async isTerminating(namespace) {
      const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}`;
      try {
        const { metadata } = await client.request<{ metadata: { deletionTimestamp?: string } }>('GET', path);
        return metadata.deletionTimestamp !== undefined;
      } catch (error) {
        if (isNotFound(error)) return true;
        // It may serve a namespace that it may not read: then the limits let go.
        if (isRefusal(error, 403)) return false;
        throw error;
      }
    },
  };
}
