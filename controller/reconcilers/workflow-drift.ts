import type { Workflow } from '../../crds/workflow.ts';
import { driftOf } from '../core/promotion/drift.ts';
import type { Drift } from '../core/workflow-status.ts';
import type { Clock } from '../seams/clock.ts';
import type { Governance } from '../seams/governance.ts';
import { ObjectConflict, ObjectRefused } from '../seams/objects.ts';
import type { Store } from '../store/types.ts';
import { isOfAnother, lostMarks, type Marks, projectionOf } from './environment-workflows.ts';

export interface Drifts {
  /** What somebody changed in a projection, and how it is put back; `revert` is missing where nothing is to be done. */
  judge(workflow: Workflow, owner: Marks): Promise<{ drift: Drift | null; revert?: () => Promise<Reverted> }>;
  /** The Workflow of this uid is gone. */
  forget(uid: string): void;
}

/** `drift`: what is left, because it could not be put back; null when it was. */
interface Reverted {
  drift: Drift | null;
  requeueAt: number | null;
}

/** Somebody else's controller may put its own back each time; this often is enough to win without a storm. */
const pauseMs = 10_000;

export function createDrifts(deps: { store: Store; governance: Governance; clock: Clock }): Drifts {
  const { store, governance, clock } = deps;
  /** By uid: what was said last and of which version, and when it was last put back. */
  const told = new Map<string, { digest: string; what: string; revertedAt: number }>();

  async function whyNot({ project, environment }: Marks, namespace: string): Promise<string | null> {
    const object = await store.objects.get('Environment', project, environment);
    if (!object || object.spec.suspend) return `environment ${environment} is suspended`;
    const stalled = object.status?.conditions?.find(({ type }) => type === 'Stalled');
    if (stalled?.reason === 'HistoryLost') return stalled.message;
    const verdict = await governance.admits(project, namespace);
    return verdict.ok ? null : verdict.message;
  }

  async function revert(workflow: Workflow, owner: Marks, what: string): Promise<Reverted> {
    const { namespace, name, uid } = workflow.metadata;
    const why = await whyNot(owner, namespace);
    if (why !== null) return { drift: notReverted(what, why), requeueAt: null };
    const before = told.get(uid)?.revertedAt ?? Number.NEGATIVE_INFINITY;
    const now = clock.now();
    if (now < before + pauseMs) return { drift: null, requeueAt: before + pauseMs };
    told.set(uid, { digest: owner.digest, what, revertedAt: now });
    await store.events.append([
      { kind: 'Workflow', namespace, name, type: 'Warning', reason: 'Drifted', message: what, at: now },
    ]);
    try {
      await store.objects.apply(await projectionOf(store, { ...owner, namespace, workflow: name }));
      return { drift: null, requeueAt: null };
    } catch (error) {
      if (!(error instanceof ObjectRefused || error instanceof ObjectConflict)) throw error;
      return { drift: notReverted(what, error.message), requeueAt: now + pauseMs };
    }
  }

  return {
    async judge(workflow, owner) {
      const { metadata, spec, status } = workflow;
      // The environment is about to put its version here.
      if (isOfAnother(workflow, owner)) return { drift: null };
      const snapshot = await store.versions.get(owner.digest);
      const fields = snapshot ? [...driftOf(snapshot.spec, spec), ...lostMarks(workflow, owner)] : [];
      if (fields.length > 0) {
        const editors = await governance.editorsOf(metadata.namespace, metadata.name);
        const by = editors.length > 0 ? ` by ${editors.join(', ')}` : '';
        const what = `Changed${by}: ${fields.join(', ')}. Runs take what was promoted.`;
        const drift: Drift = { present: true, reason: 'HandEdited', message: what };
        return { drift, revert: () => revert(workflow, owner, what) };
      }
      const said = told.get(metadata.uid);
      if (said?.digest === owner.digest) return { drift: reverted(said.what) };
      const before = status?.conditions?.find(({ type }) => type === 'Drifted');
      if (status?.digest !== owner.digest || before === undefined) return { drift: null };
      if (before.status === 'True') return { drift: reverted(before.message) };
      return { drift: { present: false, reason: 'Reverted', message: before.message } };
    },
    forget: (uid) => void told.delete(uid),
  };
}

function reverted(what: string): Drift {
  return { present: false, reason: 'Reverted', message: `${what} It was put back.` };
}

function notReverted(what: string, why: string): Drift {
  return { present: true, reason: 'NotReverted', message: `${what} It is not put back: ${why}` };
}
