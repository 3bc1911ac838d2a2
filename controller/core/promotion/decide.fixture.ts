import type { EnvironmentSpec } from '../../../crds/environment.ts';
import type { ActiveVersion, PromotionFact, PromotionFacts, PromotionRow, TagFact, UpstreamFact } from './types.ts';

export const start = Date.UTC(2026, 0, 5, 9);

/** A full hash that is easy to tell apart: the letter, forty times. */
export function hash(letter: string): string {
  return letter.repeat(40);
}

export function digest(name: string): string {
  return `sha256:${name}`;
}

export function tag(name: string, commit: string, more: Partial<TagFact> = {}): TagFact {
  return { name, commit, movedTo: null, deleted: false, onBranch: true, ...more };
}

/** What a commit holds, from `workflow: digest`. */
export function holds(workflows: Record<string, string>) {
  const list = Object.entries(workflows).map(([name, version]) => ({ name, digest: digest(version) }));
  return { ok: true as const, workflows: list };
}

export function active(workflow: string, version: string, ref: string, commit: string): ActiveVersion {
  return { workflow, digest: digest(version), ref, commit, since: start };
}

export function upstream(more: Partial<UpstreamFact> = {}): UpstreamFact {
  return { exists: true, active: [], history: [], retired: [], runs: [], ...more };
}

export function row(ref: string, more: Partial<PromotionRow> = {}): PromotionRow {
  return {
    id: `uid-${ref}`,
    project: 'team',
    name: `prod-${ref}`,
    environment: 'prod',
    ref,
    commit: null,
    phase: 'Pending',
    reason: null,
    message: null,
    changes: [],
    gates: [],
    gatesAtStart: null,
    diagnostics: [],
    automatic: true,
    createdAt: start,
    finishedAt: null,
    ...more,
  };
}

export function promotion(
  ref: string,
  more: Partial<PromotionRow> = {},
  fact: Partial<PromotionFact> = {},
): PromotionFact {
  return { row: row(ref, more), approvals: [], doubts: null, expected: null, deleted: false, authors: [], ...fact };
}

interface FactsOptions extends Partial<Omit<PromotionFacts, 'environment'>> {
  spec?: Partial<EnvironmentSpec>;
}

/** Environment prod of project team, tracking every tag by default. */
export function facts({ spec, ...more }: FactsOptions = {}): PromotionFacts {
  return {
    environment: {
      project: 'team',
      name: 'prod',
      namespace: 'prod',
      since: 0,
      spec: { source: { name: 'repo' }, track: { tag: { semver: '>=1.0.0' } }, ...spec },
    },
    source: { branch: 'main', error: null },
    branches: [],
    tags: [],
    contents: new Map(),
    ancestors: new Map(),
    active: [],
    upstream: new Map(),
    promotions: [],
    approvalsHeld: null,
    identities: null,
    knownNames: new Set(),
    ...more,
  };
}
