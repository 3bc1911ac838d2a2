import type { JsonValue } from '../../../../crds/json.ts';
import { compileSchema, defaultOf } from '../../plan/json-schema.ts';
import type { Rule } from '../visit.ts';

/** Every input is a JSON Schema, and its default must fit it: else no run could start. */
export const inputSchema: Rule = {
  name: 'input-schema',
  check: ({ spec }) =>
    Object.entries(spec.inputs ?? {}).flatMap(([name, schema]) => {
      const path = ['spec', 'inputs', name];
      try {
        const compiled = compileSchema(schema as JsonValue);
        const value = defaultOf(schema as JsonValue);
        if (value === undefined) return [];
        return compiled.check(structuredClone(value)).map((problem) => ({
          path: [...path, 'default'],
          message: `the default of input "${name}" does not fit: ${problem}`,
        }));
      } catch (error) {
        return [{ path, message: `input "${name}" is no valid JSON Schema: ${(error as Error).message}` }];
      }
    }),
};
