import type { JsonObject, JsonValue } from '../../../crds/json.ts';
import type { StepSpec } from '../../../crds/workflow.ts';
import { compileSchema } from './json-schema.ts';
import type { OutputSchema } from './types.ts';

/** Outputs of kinds that always have the same, as JSON Schema. */
export const fixedOutputs: Record<'http' | 'template', Record<string, JsonObject>> = {
  http: {
    status: { type: 'integer' },
    headers: { type: 'object', additionalProperties: { type: 'string' } },
    body: {},
  },
  template: { text: { type: 'string' } },
};

/** What a script may write to $WINDLASS_OUTPUT: the declared outputs; as a fallback of another kind, those of that kind. */
export function outputSchemas(step: StepSpec): Record<string, OutputSchema> {
  const declared = step.http ? fixedOutputs.http : step.template ? fixedOutputs.template : step.outputs;
  return Object.fromEntries(
    Object.entries(declared ?? {}).map(([name, schema]) => [name, outputSchema(schema as JsonValue)]),
  );
}

const outputTypes = ['string', 'integer', 'number', 'boolean', 'array', 'object'] as const;

function outputSchema(schema: JsonValue): OutputSchema {
  const written = typeof schema === 'object' && schema !== null && !Array.isArray(schema) ? schema['type'] : undefined;
  let compiled: ReturnType<typeof compileSchema> | undefined;
  return {
    type: outputTypes.find((t) => t === written) ?? 'any',
    check(value) {
      // On first use: compiling costs far more than anything else in a plan.
      compiled ??= compileSchema(schema);
      return compiled.check(value);
    },
  };
}
