import type { ResolvedBody } from '../../core/run/types.ts';
import type { StartAction } from '../../seams/executor.ts';
import type { AttemptFolder } from './attempt-folder.ts';

/** What a step may know of the machine; everything else of the controller's environment stays with the controller. */
export interface HostEnvironment {
  PATH: string;
  LANG: string;
  TMPDIR: string;
}

/** The item of a step that has none. */
const wholeItem = -1;

/** The whole environment of a script. WINDLASS_* come last: ending an attempt depends on them. */
export function stepEnvironment(
  action: StartAction,
  body: Extract<ResolvedBody, { kind: 'run' | 'container' }>,
  secrets: Record<string, string>,
  at: { host: HostEnvironment; hash: string; folder: AttemptFolder; files: string },
): Record<string, string> {
  return {
    // An image has its own PATH and HOME.
    ...(body.kind === 'container' ? {} : { ...at.host, HOME: at.folder.workDirectory }),
    ...body.env,
    ...secrets,
    WINDLASS_ATTEMPT: at.hash,
    WINDLASS_ATTEMPT_NUMBER: String(action.key.attempt),
    WINDLASS_FILES: at.files,
    ...(action.key.item === wholeItem ? {} : { WINDLASS_ITEM: String(action.key.item) }),
    WINDLASS_NAMESPACE: action.namespace,
    WINDLASS_OUTPUT: at.folder.output,
    WINDLASS_RUN: action.runName,
    WINDLASS_RUN_ID: action.key.runId,
    WINDLASS_STEP: action.key.step,
    WINDLASS_WORKFLOW: action.workflow,
  };
}
