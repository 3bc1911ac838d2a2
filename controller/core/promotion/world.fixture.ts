import type { EnvironmentSpec } from '../../../crds/environment.ts';
import type { PromotionApproval } from '../../../crds/promotion.ts';
import { decidePromotion } from './decide.ts';
import { digest, row, start } from './decide.fixture.ts';
import { nameKey } from './name.ts';
import type {
  ActiveVersion,
  Person,
  PromotionDecision,
  PromotionFact,
  PromotionFacts,
  RefContent,
  TagFact,
  UpstreamFact,
} from './types.ts';

/** What one commit in the model holds: a version a workflow, 0 for none; or a mistake. */
interface Commit {
  hash: string;
  parent: string | null;
  content: RefContent;
  author: Person;
}

interface Stage {
  name: string;
  spec: EnvironmentSpec;
  active: Map<string, ActiveVersion>;
  history: UpstreamFact['history'];
  retired: Map<string, UpstreamFact['retired'][number]>;
  runs: UpstreamFact['runs'];
  promotions: PromotionFact[];
}

type Observer = (facts: PromotionFacts, decision: PromotionDecision) => void;

/** A repository and the stages dev → staging → prod on it: what a reconciler would gather and record. */
export interface World {
  commits: Map<string, Commit>;
  tip: string;
  tags: Map<string, TagFact>;
  stages: Stage[];
  names: Set<string>;
  error: string | null;
  now: number;
}

export function createWorld(specs: [string, EnvironmentSpec][]): World {
  const world: World = {
    commits: new Map(),
    tip: '',
    tags: new Map(),
    stages: specs.map(([name, spec]) => ({
      name,
      spec,
      active: new Map(),
      history: [],
      retired: new Map(),
      runs: [],
      promotions: [],
    })),
    names: new Set(),
    error: null,
    now: start,
  };
  commit(world, '', { report: 1, mail: 1 }, 'ann');
  return world;
}

/** Adds a commit on top of `parent` and makes it the tip of main. */
export function commit(
  world: World,
  parent: string,
  versions: Record<string, number> | 'InvalidRef' | 'NoWorkflows',
  author: string,
): void {
  const hash = (world.commits.size + 1).toString(16).padStart(40, '0');
  const content: RefContent =
    typeof versions === 'string'
      ? { ok: false, reason: versions, diagnostics: [] }
      : {
          ok: true,
          workflows: Object.entries(versions).map(([name, version]) => ({ name, digest: digest(`${name}${version}`) })),
        };
  const person = { name: author, email: `${author}@example.com` };
  world.commits.set(hash, { hash, parent: parent === '' ? null : parent, content, author: person });
  world.tip = hash;
}

export function isAncestor(world: World, ancestor: string, descendant: string): boolean {
  for (let at: string | null = descendant; at !== null; at = world.commits.get(at)?.parent ?? null) {
    if (at === ancestor) return true;
  }
  return false;
}

export function pushTag(world: World, name: string, hash: string): void {
  const known = world.tags.get(name);
  if (known === undefined) {
    world.tags.set(name, { name, commit: hash, movedTo: null, deleted: false, onBranch: true });
    return;
  }
  world.tags.set(name, { ...known, deleted: false, movedTo: hash === known.commit ? null : hash });
}

export function run(stage: Stage, workflow: string, succeeded: boolean): void {
  const active = stage.active.get(workflow);
  if (active === undefined) return;
  const known = stage.runs.find((runs) => runs.workflow === workflow && runs.digest === active.digest);
  const before = known ?? { workflow, digest: active.digest, finished: 0, succeeded: 0, degraded: 0 };
  const after = { ...before, finished: before.finished + 1, succeeded: before.succeeded + (succeeded ? 1 : 0) };
  stage.runs = [...stage.runs.filter((runs) => runs !== known), after];
}

export function approve(stage: Stage, index: number, approval: PromotionApproval): void {
  const waiting = stage.promotions.filter(({ row: { finishedAt } }) => finishedAt === null);
  const fact = waiting[index % Math.max(1, waiting.length)];
  if (fact) fact.approvals = [...fact.approvals, approval];
}

export function promoteByHand(world: World, stage: Stage, ref: string): void {
  add(world, stage, `by-hand-${stage.promotions.length}`, ref, false);
}

/** Decides for every stage, again and again, until nothing changes any more; `observe` sees every decision. */
export function settle(world: World, observe: Observer): void {
  for (let round = 0; ; round++) {
    if (round > 200) throw new Error('the world never comes to rest');
    const moved = world.stages.map((stage) => step(world, stage, observe));
    if (!moved.includes(true)) return;
  }
}

/** One reconcile: gather, decide until nothing is missing, record. False when there was nothing to record. */
function step(world: World, stage: Stage, observe: Observer): boolean {
  world.now += 1000;
  const facts = gather(world, stage);
  let decision = decidePromotion(facts, world.now);
  for (let rounds = 0; decision.read.length + decision.ancestry.length > 0; rounds++) {
    if (rounds > 50) throw new Error('facts are asked for without end');
    const contents = new Map(facts.contents);
    for (const hash of decision.read) contents.set(hash, contentOf(world, hash));
    const ancestors = new Map(facts.ancestors);
    for (const { ancestor, descendant } of decision.ancestry) {
      ancestors.set(`${ancestor}..${descendant}`, isAncestor(world, ancestor, descendant));
    }
    facts.contents = contents;
    facts.ancestors = ancestors;
    decision = decidePromotion(facts, world.now);
  }
  observe(facts, decision);
  return record(world, stage, decision);
}

function gather(world: World, stage: Stage): PromotionFacts {
  return {
    environment: { project: 'team', name: stage.name, namespace: stage.name, since: 0, spec: stage.spec },
    source: {
      branch: 'main',
      error: world.error === null ? null : { reason: 'SourceUnreachable', message: world.error },
    },
    branches: [{ name: 'main', commit: world.tip }],
    tags: [...world.tags.values()].map((tag) => ({ ...tag, onBranch: isAncestor(world, tag.commit, world.tip) })),
    contents: new Map(),
    ancestors: new Map(),
    active: [...stage.active.values()],
    upstream: new Map((stage.spec.after ?? []).map((name) => [name, upstreamFact(world, name)])),
    promotions: stage.promotions.map((fact) => ({ ...fact, authors: authorsOf(world, stage, fact) })),
    approvalsHeld: null,
    identities: null,
    knownNames: new Set(world.names),
  };
}

function contentOf(world: World, hash: string): RefContent {
  return world.commits.get(hash)?.content ?? { ok: false, reason: 'UnknownRef', diagnostics: [] };
}

function upstreamFact(world: World, name: string): UpstreamFact {
  const stage = world.stages.find((other) => other.name === name);
  if (!stage) return { exists: false, active: [], history: [], retired: [], runs: [] };
  const { active, history, retired, runs } = stage;
  return { exists: true, active: [...active.values()], history, retired: [...retired.values()], runs };
}

function authorsOf(world: World, stage: Stage, { row: { commit: hash } }: PromotionFact): Person[] | null {
  if (hash === null) return null;
  const from = [...stage.active.values()].map((version) => version.commit);
  return [...world.commits.values()]
    .filter((other) => isAncestor(world, other.hash, hash) && !from.some((base) => isAncestor(world, other.hash, base)))
    .map((other) => other.author);
}

function record(world: World, stage: Stage, decision: PromotionDecision): boolean {
  const { promotions, activate, names, events, create, wakeAt } = decision;
  for (const next of promotions) {
    const fact = stage.promotions.find((other) => other.row.id === next.id);
    if (!fact) throw new Error(`no promotion ${next.id}`);
    fact.row = next;
  }
  for (const { workflow, digest: version, ref, commit: hash, at } of activate) {
    if (version === null) {
      stage.active.delete(workflow);
      stage.retired.set(workflow, { workflow, ref, commit: hash, since: at });
    } else {
      stage.active.set(workflow, { workflow, digest: version, ref, commit: hash, since: at });
      stage.retired.delete(workflow);
      stage.history = [...stage.history, { workflow, digest: version }];
    }
  }
  for (const name of names) world.names.add(nameKey(name));
  let created = 0;
  for (const { name, ref } of create) created += add(world, stage, name, ref, true) ? 1 : 0;
  return promotions.length + activate.length + names.length + events.length + created > 0 || wakeAt !== null;
}

function add(world: World, stage: Stage, name: string, ref: string, automatic: boolean): boolean {
  if (stage.promotions.some((other) => other.row.name === name)) return false;
  const id = `${stage.name}-${String(stage.promotions.length).padStart(4, '0')}`;
  const fresh = row(ref, { id, name, environment: stage.name, automatic, createdAt: world.now });
  stage.promotions.push({ row: fresh, approvals: [], doubts: null, expected: null, deleted: false, authors: null });
  return true;
}
