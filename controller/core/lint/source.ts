import type { WorkflowSourceSpec } from '../../../crds/workflow-source.ts';
import { maxDurationMs, parseDuration } from '../duration.ts';
import type { Problem } from '../parse/position.ts';

/** What is wrong in a WorkflowSource that fits its schema. What its URL may be depends on the home, which checks it. */
export function lintSource(spec: WorkflowSourceSpec): Problem[] {
  const problems: Problem[] = [];
  if (spec.path !== undefined && (spec.path.startsWith('/') || spec.path.split('/').includes('..'))) {
    const message = `"${spec.path}" must be a folder of the repository, from its root and without ..`;
    problems.push({ path: ['spec', 'path'], rule: 'source-path', message });
  }
  if (spec.interval !== undefined) {
    const ms = parseDuration(spec.interval);
    if (ms < 1000 || ms > maxDurationMs) {
      const message = `interval must be between 1s and a year, not ${spec.interval}`;
      problems.push({ path: ['spec', 'interval'], rule: 'duration', message });
    }
  }
  return problems;
}
