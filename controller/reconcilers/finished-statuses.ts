import { createHash } from 'node:crypto';
import type { WorkflowRun } from '../../crds/workflow-run.ts';

/** What the statuses of finished runs said when they were seen last, as a few bytes each: there may be many thousands. */
export interface FinishedStatuses {
  /** Whether its status says something else than it did when it was seen finished before. */
  changed(run: WorkflowRun): boolean;
  /** It is not finished any more, or gone. */
  forget(uid: string): void;
}

export function createFinishedStatuses(): FinishedStatuses {
  const seen = new Map<string, string>();
  return {
    changed({ metadata: { uid }, status }) {
      const says = createHash('sha1').update(JSON.stringify(status)).digest('base64');
      const before = seen.get(uid);
      seen.set(uid, says);
      return before !== undefined && before !== says;
    },
    forget: (uid) => void seen.delete(uid),
  };
}
