import { booleanKeyHint, isBooleanKey } from '../../boolean-keys.ts';
import type { Path } from '../../parse/position.ts';
import { isReserved, reservedMessage } from '../reserved.ts';
import type { Finding, Rule } from '../visit.ts';

/** Names that expressions select must not be words of CEL; and no name is `true` or `false` but by mistake. */
export const reservedName: Rule = {
  name: 'reserved-name',
  check: ({ spec, steps }) => [
    ...keys(spec.inputs, ['spec', 'inputs']),
    ...keys(spec.outputs, ['spec', 'outputs']),
    ...steps.flatMap((step) => [
      ...(isReserved(step.name) ? [{ path: [...step.path, 'name'], message: reservedMessage(step.name) }] : []),
      ...keys(step.spec.outputs, [...step.path, 'outputs']),
      ...keys(step.spec.forEach?.matrix, [...step.path, 'forEach', 'matrix']),
      ...(step.spec.decide?.cases ?? []).flatMap((one, i) =>
        keys(one.then, [...step.path, 'decide', 'cases', i, 'then']),
      ),
      ...booleans(step.spec.secrets, [...step.path, 'secrets']),
      ...step.bodies.flatMap(({ spec: { env, template }, path }) => [
        ...booleans(env, [...path, 'env']),
        ...booleans(template?.vars, [...path, 'template', 'vars']),
      ]),
    ]),
  ],
};

function booleans(map: object | undefined, path: Path): Finding[] {
  return Object.keys(map ?? {})
    .filter(isBooleanKey)
    .map((key) => ({ path: [...path, key], at: 'key', message: `"${key}" as a name: ${booleanKeyHint}` }));
}

function keys(map: Record<string, unknown> | undefined, path: Path): Finding[] {
  return Object.keys(map ?? {})
    .filter(isReserved)
    .map((key) => ({ path: [...path, key], at: 'key', message: reservedMessage(key) }));
}
