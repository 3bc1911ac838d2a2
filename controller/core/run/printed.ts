import type { WorkflowRunStatus } from '../../../crds/workflow-run.ts';
import { shortVersion } from '../short.ts';

/** Conditions in the order in which a person must know of them; what none of the first says, `Succeeded` does. */
const first = ['Stalled', 'ExecutionRefused', 'Paused', 'ApprovalsIgnored', 'WaitingForApproval'];

/** The status with what tables print of it: a printer column can neither choose between conditions nor shorten a text. */
export function asPrinted(status: WorkflowRunStatus): WorkflowRunStatus {
  const { conditions = [], digest, version = null } = status;
  const telling =
    first.flatMap((type) => conditions.find((c) => c.type === type && c.status === 'True') ?? [])[0] ??
    conditions.find(({ type }) => type === 'Succeeded');
  return {
    ...status,
    ...(telling === undefined ? {} : { reason: telling.reason }),
    ...(digest === undefined ? {} : { shortVersion: shortVersion({ version, digest }) }),
  };
}
