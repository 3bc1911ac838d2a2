import semver from 'semver';
import type { EnvironmentSpec } from '../../../crds/environment.ts';
import type { Problem } from '../parse/position.ts';
import { isReserved, reservedMessage } from './reserved.ts';

/** What is wrong in an Environment that fits its schema and shape. */
export function lintEnvironment(name: string, spec: EnvironmentSpec): Problem[] {
  const problems: Problem[] = [];
  const report = (rule: string, path: (string | number)[], message: string, at: 'key' | 'value' = 'value') =>
    problems.push({ rule, path: ['spec', ...path], message, at });

  for (const [i, other] of (spec.after ?? []).entries()) {
    if (other === name) report('environment-after-self', ['after', i], `"${name}" cannot come after itself`);
    else if (spec.after?.indexOf(other) !== i)
      report('environment-after-twice', ['after', i], `"${other}" is there twice`);
  }
  const range = spec.track.tag?.semver;
  if (range !== undefined && semver.validRange(range) === null) {
    report(
      'environment-semver',
      ['track', 'tag', 'semver'],
      `"${range}" is no semver range such as ">=1.0.0" or "1.x"`,
    );
  }
  for (const [i, gate] of (spec.gates ?? []).entries()) {
    if (gate.upstream && !spec.after?.length) {
      report('environment-upstream', ['gates', i, 'upstream'], 'an upstream gate needs spec.after', 'key');
    }
  }
  for (const key of Object.keys(spec.values ?? {})) {
    if (isReserved(key)) report('reserved-name', ['values', key], reservedMessage(key), 'key');
  }
  return problems;
}
