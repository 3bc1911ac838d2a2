import type { ResolvedBody } from '../../core/run/types.ts';
import type { StartAction } from '../../seams/executor.ts';
import { stepVariables } from '../step-variables.ts';
import type { AttemptFolder } from './attempt-folder.ts';

/** What a step may know of the machine; everything else of the controller's environment stays with the controller. */
export interface HostEnvironment {
  PATH: string;
  LANG: string;
  TMPDIR: string;
}

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
    ...stepVariables(action, { hash: at.hash, files: at.files, output: at.folder.output }),
  };
}
