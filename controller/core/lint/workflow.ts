import type { WorkflowSpec } from '../../../crds/workflow.ts';
import type { Problem } from '../parse/position.ts';
import { approvalInFinally } from './rules/approval-in-finally.ts';
import { approvalInForEach } from './rules/approval-in-for-each.ts';
import { artifactPath, artifactUnknown } from './rules/artifact.ts';
import { cacheWithCompensate, cacheWithSecrets } from './rules/cache.ts';
import { childOfItself } from './rules/child-of-itself.ts';
import { cycle } from './rules/cycle.ts';
import { decideUnreachable } from './rules/decide-unreachable.ts';
import { duplicateStep } from './rules/duplicate-step.ts';
import { duration } from './rules/duration.ts';
import { envName } from './rules/env-name.ts';
import { expression } from './rules/expression.ts';
import { expressionInText } from './rules/expression-in-text.ts';
import { fallback, fallbackOutputs } from './rules/fallback.ts';
import { fieldForKind } from './rules/field-for-kind.ts';
import { filesPath } from './rules/files-path.ts';
import { finallyField } from './rules/finally-field.ts';
import { finallyReference } from './rules/finally-reference.ts';
import { forEach, loopVariable } from './rules/for-each.ts';
import { httpRequest } from './rules/http-request.ts';
import { httpUrl } from './rules/http-url.ts';
import { inputSchema } from './rules/input-schema.ts';
import { lockTwice } from './rules/lock-twice.ts';
import { needsSelf } from './rules/needs-self.ts';
import { needsUnknownStep } from './rules/needs-unknown-step.ts';
import { outputSchema } from './rules/output-schema.ts';
import { pod } from './rules/pod.ts';
import { queueTimeout } from './rules/queue-timeout.ts';
import { reservedName } from './rules/reserved-name.ts';
import { templateFile } from './rules/template-file.ts';
import { unguardedReference } from './rules/unguarded-reference.ts';
import { waitUntil } from './rules/wait-until.ts';
import { type Rule, visitWorkflow } from './visit.ts';

/** Every rule on a Workflow; see docs/reference/lint.md. */
export const workflowRules: readonly Rule[] = [
  approvalInFinally,
  approvalInForEach,
  artifactPath,
  artifactUnknown,
  cacheWithCompensate,
  cacheWithSecrets,
  childOfItself,
  cycle,
  decideUnreachable,
  duplicateStep,
  duration,
  envName,
  expression,
  expressionInText,
  fallback,
  fallbackOutputs,
  fieldForKind,
  filesPath,
  finallyField,
  finallyReference,
  forEach,
  httpRequest,
  httpUrl,
  inputSchema,
  lockTwice,
  loopVariable,
  needsSelf,
  needsUnknownStep,
  outputSchema,
  pod,
  queueTimeout,
  reservedName,
  templateFile,
  unguardedReference,
  waitUntil,
];

/** What is wrong in the spec of a Workflow that fits its schema and shape. */
export function lintWorkflow(name: string | null, spec: WorkflowSpec): Problem[] {
  const workflow = visitWorkflow(name, spec);
  return workflowRules.flatMap((rule) => rule.check(workflow).map((finding) => ({ rule: rule.name, ...finding })));
}
