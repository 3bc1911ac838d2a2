import type { Finding, Rule } from '../visit.ts';

/** Names of the environment that a script could not rely on. */
export const envName: Rule = {
  name: 'env-name',
  check: ({ steps }) =>
    steps.flatMap(({ spec, path }) =>
      (['env', 'secrets'] as const).flatMap((field) =>
        Object.keys(spec[field] ?? {}).flatMap((name): Finding[] => {
          const at = { path: [...path, field, name], at: 'key' as const };
          if (name.startsWith('WINDLASS_'))
            return [{ ...at, message: `"${name}": names in WINDLASS_ are set by Windlass` }];
          if (field === 'secrets' && spec.env && Object.hasOwn(spec.env, name)) {
            return [{ ...at, message: `"${name}" is in env, too; only one of them can set it` }];
          }
          return [];
        }),
      ),
    ),
};
