import type { Finding, Rule, VisitedStep } from '../visit.ts';

/** What is taken from the cache did not happen: there is nothing to undo then. */
export const cacheWithCompensate: Rule = {
  name: 'cache-with-compensate',
  check: ({ steps }) =>
    steps
      .filter(({ spec }) => spec.cache !== undefined && spec.compensate !== undefined)
      .map(({ path }) => ({
        path: [...path, 'cache'],
        at: 'key',
        message: 'a step with compensate has effects, which a cached one would not have; remove one of the two',
      })),
};

/** Another secret may mean another result, but secrets are no part of the key. */
export const cacheWithSecrets: Rule = {
  name: 'cache-with-secrets',
  check: ({ steps }) => steps.flatMap(judge),
};

function judge(step: VisitedStep): Finding[] {
  const { cache } = step.spec;
  if (cache === undefined || hasSecrets(step) === (cache.ignoreSecrets === true)) return [];
  if (cache.ignoreSecrets === true) {
    return [
      { path: [...step.path, 'cache', 'ignoreSecrets'], at: 'key', message: 'the step has no secrets to ignore' },
    ];
  }
  const message = 'secrets are no part of the key; say cache.ignoreSecrets: true if the result does not depend on them';
  return [{ path: [...step.path, 'cache'], at: 'key', message }];
}

/** Only the step's own body fills the cache. */
function hasSecrets({ spec, kind }: VisitedStep): boolean {
  const named = kind === 'http' ? spec.http?.secretHeaders : spec.secrets;
  return Object.keys(named ?? {}).length > 0;
}
