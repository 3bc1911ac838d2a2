import type { JsonObject } from '../../crds/json.ts';
import type { Workflow } from '../../crds/workflow.ts';
import { workflowDigest } from '../core/digest.ts';
import type { Snapshot } from '../core/snapshot.ts';
import { mistakesIn } from './mistakes.ts';

/** A Workflow that was applied by hand, as a version, or why it cannot be one. */
export type JudgedWorkflow = { ok: true; snapshot: Snapshot } | { ok: false; message: string };

/** Lints an applied Workflow and makes it a version. Such a workflow has no files: they come from git only. */
export function judgeWorkflow(workflow: Workflow): JudgedWorkflow {
  const { metadata, spec } = workflow;
  const problems = mistakesIn(workflow);
  if (spec.files && spec.files.length > 0) {
    problems.push(
      'spec.files: files come from git; put the workflow into a repository, or take `files` out [files-without-git]',
    );
  }
  if (problems.length > 0) return { ok: false, message: problems.join('\n') };
  const { name } = metadata;
  const body = spec as unknown as JsonObject;
  return {
    ok: true,
    snapshot: { digest: workflowDigest({ name, spec: body, files: {} }), workflow: name, spec: body, files: {} },
  };
}
