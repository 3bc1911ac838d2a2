import type { StartAction } from '../seams/executor.ts';

/** The item of a step that has none. */
const wholeItem = -1;

/** What every step finds in its environment, in whichever home it runs. docs/workflows.md lists them. */
export function stepVariables(
  { key, namespace, runName, workflow }: StartAction,
  at: { hash: string; files: string; output: string },
): Record<string, string> {
  return {
    WINDLASS_ATTEMPT: at.hash,
    WINDLASS_ATTEMPT_NUMBER: String(key.attempt),
    WINDLASS_FILES: at.files,
    ...(key.item === wholeItem ? {} : { WINDLASS_ITEM: String(key.item) }),
    WINDLASS_NAMESPACE: namespace,
    WINDLASS_OUTPUT: at.output,
    WINDLASS_RUN: runName,
    WINDLASS_RUN_ID: key.runId,
    WINDLASS_STEP: key.step,
    WINDLASS_WORKFLOW: workflow,
  };
}
