import type { PromotionFacts, UpstreamFact } from './types.ts';

interface Version {
  workflow: string;
  digest: string;
}

/** Whether a version is, or has been, active in one upstream environment. */
export function hasBeenActive(upstream: UpstreamFact, version: Version): boolean {
  return [...upstream.active, ...upstream.history].some(
    (there) => there.workflow === version.workflow && there.digest === version.digest,
  );
}

/** Whether a workflow is not active in one upstream environment: it was retired there, or never came. */
export function isRetired(upstream: UpstreamFact, workflow: string): boolean {
  return !upstream.active.some((there) => there.workflow === workflow);
}

export function hasBeenActiveEverywhere(facts: PromotionFacts, version: Version): boolean {
  return everywhere(facts, (upstream) => hasBeenActive(upstream, version));
}

export function isRetiredEverywhere(facts: PromotionFacts, workflow: string): boolean {
  return everywhere(facts, (upstream) => isRetired(upstream, workflow));
}

interface AgreedVersion {
  workflow: string;
  /** Undefined: retired everywhere. */
  digest: string | undefined;
  ref: string;
  commit: string;
  since: number;
}

/**
 * What all environments of `after` agree on, newest first: the same digest active in each, or retired in each. Named as
 * the first of them names it.
 */
export function agreedUpstream(facts: PromotionFacts): AgreedVersion[] {
  const first = facts.upstream.get(facts.environment.spec.after?.[0] ?? '');
  if (!first?.exists) return [];
  const active = first.active.filter((version) =>
    everywhere(facts, (upstream) =>
      upstream.active.some((there) => there.workflow === version.workflow && there.digest === version.digest),
    ),
  );
  const retired = first.retired.filter(({ workflow }) => isRetiredEverywhere(facts, workflow));
  return [...active, ...retired.map((version) => ({ ...version, digest: undefined }))]
    .map(({ workflow, digest, ref, commit, since }) => ({ workflow, digest, ref, commit, since }))
    .toSorted((a, b) => b.since - a.since || compare(a.ref, b.ref) || compare(a.workflow, b.workflow));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function everywhere(facts: PromotionFacts, test: (upstream: UpstreamFact) => boolean): boolean {
  return (facts.environment.spec.after ?? []).every((name) => {
    const upstream = facts.upstream.get(name);
    return upstream?.exists === true && test(upstream);
  });
}
