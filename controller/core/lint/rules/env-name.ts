import type { Path } from '../../parse/position.ts';
import type { Finding, Rule } from '../visit.ts';

/** Names of the environment that a script could not rely on. */
export const envName: Rule = {
  name: 'env-name',
  check: ({ steps }) =>
    steps.flatMap(({ spec, path, bodies }) => [
      ...judge(spec.env, [...path, 'env']),
      ...judge(spec.secrets, [...path, 'secrets'], { env: spec.env }),
      ...bodies
        .filter((body) => body.part !== 'main')
        .flatMap((body) => judge(body.spec.env, [...body.path, 'env'], { secrets: spec.secrets })),
    ]),
};

function judge(names: object | undefined, path: Path, other: Record<string, object | undefined> = {}): Finding[] {
  const [[elsewhere, taken] = []] = Object.entries(other);
  return Object.keys(names ?? {}).flatMap((name): Finding[] => {
    const at = { path: [...path, name], at: 'key' as const };
    if (name.startsWith('WINDLASS_')) return [{ ...at, message: `"${name}": names in WINDLASS_ are set by Windlass` }];
    if (taken === undefined || !Object.hasOwn(taken, name)) return [];
    return [{ ...at, message: `"${name}" is in ${elsewhere}, too; only one of them can set it` }];
  });
}
