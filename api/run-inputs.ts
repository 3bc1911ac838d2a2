import type { JsonObject } from '../crds/json.ts';
import { compileInputs } from '../controller/core/plan/json-schema.ts';
import { RequestProblem } from './errors.ts';

/** @throws RequestProblem 422 with everything that is wrong in the inputs */
export function demandInputs(workflow: string, spec: JsonObject, inputs: JsonObject): void {
  let checked;
  try {
    checked = compileInputs((spec['inputs'] ?? {}) as JsonObject)(inputs);
  } catch {
    // The mistake is in the Workflow that somebody applied: its status says so, and so will the run.
    return;
  }
  if (checked.ok) return;
  const problems = checked.problems.map((message) => ({ path: 'inputs', message, rule: 'inputs' }));
  const list = checked.problems.join('; ');
  throw new RequestProblem('invalid', `The inputs do not fit workflow ${workflow}: ${list}.`, { problems });
}
