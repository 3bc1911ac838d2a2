import type { JsonValue } from '../../../../crds/json.ts';
import { compileSchema } from '../../plan/json-schema.ts';
import type { Rule } from '../visit.ts';

/** Every declared output is a JSON Schema: it says how to read what a script writes. */
export const outputSchema: Rule = {
  name: 'output-schema',
  check: ({ steps }) =>
    steps.flatMap((step) =>
      Object.entries(step.spec.outputs ?? {}).flatMap(([name, schema]) => {
        try {
          compileSchema(schema as JsonValue);
          return [];
        } catch (error) {
          const message = `output "${name}" is no valid JSON Schema: ${(error as Error).message}`;
          return [{ path: [...step.path, 'outputs', name], message }];
        }
      }),
    ),
};
