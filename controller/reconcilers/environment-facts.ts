import type { Environment } from '../../crds/environment.ts';
import type { Promotion } from '../../crds/promotion.ts';
import type { WorkflowSource } from '../../crds/workflow-source.ts';
import { doubtMessage } from '../core/approval-trust.ts';
import { type Identities, identityTableName, readIdentities } from '../core/promotion/identities.ts';
import { newPromotion } from '../core/promotion/create.ts';
import { nameKey } from '../core/promotion/name.ts';
import { invalidEnvironments } from '../core/source-status.ts';
import type {
  Person,
  PromotionDecision,
  PromotionFact,
  PromotionFacts,
  PromotionRow,
  RefContent,
  SourceError,
  TagFact,
  UpstreamFact,
} from '../core/promotion/types.ts';
import type { Repository } from '../git/repository.ts';
import type { Governance } from '../seams/governance.ts';
import type { Clock } from '../seams/clock.ts';
import type { RefRow, Store } from '../store/types.ts';
import { lookAtApprovals } from './approval-looks.ts';
import { judgeCommit } from './judge-commit.ts';
import { type Repositories, sourceKey } from './repositories.ts';
import { tagFacts } from './tags.ts';

/** The facts of one environment, with what is needed to read more of them. */
export interface PromotionWorld {
  facts: PromotionFacts & {
    contents: Map<string, RefContent>;
    ancestors: Map<string, boolean>;
  };
  promotions: (PromotionFact & { object: Promotion | null })[];
  source: WorkflowSource | null;
  repository: Repository | null;
}

export interface FactsDependencies {
  store: Store;
  repositories: Repositories;
  governance: Governance;
  clock: Clock;
}

const defaultPath = 'workflows';

/** Everything `decidePromotion` reads, as it is now; contents and ancestry only as far as they are asked for later. */
export async function gatherPromotionFacts(deps: FactsDependencies, environment: Environment): Promise<PromotionWorld> {
  const { store, repositories } = deps;
  const { namespace: project, name } = environment.metadata;
  const { spec } = environment;
  const source = await store.objects.get('WorkflowSource', project, spec.source.name);
  const refs = source ? await store.refs.list(sourceKey(source)) : [];
  // Without refs nothing was recorded of it yet: what is not there may come.
  const repository = source && refs.length > 0 ? repositories.get(source) : null;
  const active = await store.promotions.active(project, name);
  const promotions = await promotionFacts(deps, environment, repository, [
    ...new Set(active.map(({ commit }) => commit)),
  ]);
  const names = await store.versions.namesOf(
    project,
    active.map(({ digest }) => digest),
  );
  const upstream = new Map<string, UpstreamFact>();
  for (const before of spec.after ?? []) {
    const exists = (await store.objects.get('Environment', project, before)) !== null;
    upstream.set(before, { exists, ...(await store.promotions.upstream(project, before)) });
  }
  const facts = {
    environment: {
      project,
      name,
      namespace: spec.namespace ?? name,
      since: Date.parse(environment.metadata.creationTimestamp),
      spec,
    },
    source: source ? { branch: source.spec.branch, error: sourceError(source, repository, refs) } : null,
    branches: refs
      .filter((row) => row.ref.startsWith('refs/heads/') && !row.deleted)
      .map((row) => ({ name: row.ref.slice('refs/heads/'.length), commit: row.commit })),
    tags: repository && source ? await tags(repository, refs, spec.track.tag?.from ?? source.spec.branch) : [],
    contents: new Map<string, RefContent>(),
    ancestors: new Map<string, boolean>(),
    active,
    upstream,
    promotions,
    ...(await approvalFacts(deps, environment, promotions)),
    knownNames: new Set(names.map(nameKey)),
  };
  return { facts, promotions, source, repository };
}

async function tags(repository: Repository, refs: RefRow[], branch: string): Promise<TagFact[]> {
  return await tagFacts(repository, refs, branch);
}

/**
 * What entries of `spec.approvals` are worth, asked for only where something depends on it; entries that do not count are
 * taken out of the promotions. Also while nothing waits: that the policy is there is known by then.
 */
async function approvalFacts(
  deps: FactsDependencies,
  environment: Environment,
  promotions: PromotionWorld['promotions'],
): Promise<Pick<PromotionFacts, 'approvalsHeld' | 'identities'>> {
  const waiting = promotions.filter(({ row }) => row.finishedAt === null);
  const gates = [...(environment.spec.gates ?? []), ...waiting.flatMap(({ row }) => row.gatesAtStart ?? [])].flatMap(
    ({ approval }) => approval ?? [],
  );
  const depends = gates.length > 0 || waiting.some(({ approvals }) => approvals.length > 0);
  const asksWho = waiting.length > 0 && gates.some(({ notAuthor }) => notAuthor);
  return {
    approvalsHeld: depends ? await keepBelieved(deps, waiting) : null,
    identities: asksWho ? await identitiesOf(deps.governance, environment.metadata.namespace) : null,
  };
}

/** Returns why none of them counts at present. */
async function keepBelieved(deps: FactsDependencies, waiting: PromotionWorld['promotions']): Promise<string | null> {
  const present = waiting.flatMap((fact) => (fact.object ? [{ fact, metadata: fact.object.metadata }] : []));
  const looked = await lookAtApprovals(
    deps,
    present.map(({ fact, metadata }) => ({
      uid: metadata.uid,
      createdAt: Date.parse(metadata.creationTimestamp),
      entries: fact.approvals,
    })),
  );
  for (const { fact, metadata } of present) {
    const { believed = [], doubted = [], again = false } = looked.objects.get(metadata.uid) ?? {};
    fact.approvals = believed;
    fact.doubts = doubtMessage(doubted, again);
  }
  return looked.held;
}

async function identitiesOf(governance: Governance, project: string): Promise<Identities | null> {
  const table = await governance.identityTable(project, identityTableName);
  if (table === null) return null;
  return table.ok ? readIdentities(table.texts) : { users: new Map(), problem: table.message };
}

function sourceError(source: WorkflowSource, repository: Repository | null, refs: RefRow[]): SourceError | null {
  const ready = source.status?.conditions?.find((condition) => condition.type === 'Ready');
  if (ready?.status === 'False') {
    const reason = ready.reason === invalidEnvironments ? invalidEnvironments : 'SourceUnreachable';
    return { reason, message: ready.message };
  }
  // The mirror is opened before anything is in it.
  const fetched = repository !== null && refs.length > 0;
  return fetched ? null : { reason: 'SourceUnreachable', message: 'the source has not been fetched yet' };
}

/** The promotions into an environment, whether it is there or not, each with its object; null when that was deleted. */
export async function promotionsInto(
  { store }: Pick<FactsDependencies, 'store'>,
  project: string,
  name: string,
): Promise<{ row: PromotionRow; object: Promotion | null }[]> {
  const rows = new Map((await store.promotions.ofEnvironment(project, name)).map((row) => [row.id, row]));
  const objects = await store.objects.list('Promotion', { namespace: project });
  const byId = new Map(
    objects.filter(({ spec }) => spec.environment === name).map((object) => [object.metadata.uid, object]),
  );
  for (const [id, object] of byId) {
    // An old one whose row is beyond the last hundred needs no decision any more.
    if (!rows.has(id) && object.status?.finishedAt === undefined) rows.set(id, newPromotion(object));
  }
  return [...rows.values()].map((row) => ({ row, object: byId.get(row.id) ?? null }));
}

async function promotionFacts(
  deps: FactsDependencies,
  environment: Environment,
  repository: Repository | null,
  activeCommits: string[],
): Promise<PromotionWorld['promotions']> {
  const { namespace: project, name } = environment.metadata;
  const gates = environment.spec.gates ?? [];
  return await Promise.all(
    (await promotionsInto(deps, project, name)).map(async ({ row, object }) => {
      const asksAuthors = [...gates, ...(row.gatesAtStart ?? [])].some((gate) => gate.approval?.notAuthor);
      const authors = asksAuthors && row.finishedAt === null ? await authorsOf(repository, activeCommits, row) : [];
      return {
        row,
        object,
        approvals: object?.spec.approvals ?? [],
        doubts: null,
        expected: object?.spec.workflows ?? null,
        deleted: object === null,
        authors,
      };
    }),
  );
}

/** Whoever wrote what is promoted, since each active version; null while that cannot be known, and `notAuthor` then holds. */
async function authorsOf(
  repository: Repository | null,
  activeCommits: string[],
  { ref, commit }: PromotionRow,
): Promise<Person[] | null> {
  if (!repository || commit === null || (await repository.commitInfo(commit)) === null) return null;
  const tag = ref === commit ? undefined : ref;
  const since = activeCommits.length > 0 ? activeCommits : [null];
  const people = await Promise.all(since.map((from) => repository.people(from, commit, tag)));
  return people.flat();
}

/** Reads what a decision asked for into the facts; false when nothing of it can be read now. */
export async function supplyFacts(
  { store, clock }: Pick<FactsDependencies, 'store' | 'clock'>,
  world: PromotionWorld,
  wanted: Pick<PromotionDecision, 'read' | 'ancestry'>,
): Promise<boolean> {
  const { source, repository, facts } = world;
  let supplied = false;
  for (const commit of wanted.read) {
    if (!source) break;
    const content = await contentOf({ store, clock }, source, repository, commit);
    if (!content) continue;
    facts.contents.set(commit, content);
    supplied = true;
  }
  for (const { ancestor, descendant } of wanted.ancestry) {
    if (!repository) break;
    facts.ancestors.set(`${ancestor}..${descendant}`, await repository.isAncestor(ancestor, descendant));
    supplied = true;
  }
  return supplied;
}

async function contentOf(
  { store, clock }: Pick<FactsDependencies, 'store' | 'clock'>,
  source: WorkflowSource,
  repository: Repository | null,
  commit: string,
): Promise<RefContent | null> {
  const id = sourceKey(source);
  const path = source.spec.path ?? defaultPath;
  const known = await store.versions.content(id, commit, path);
  if (known || !repository) return known;
  if ((await repository.commitInfo(commit)) === null) return { ok: false, reason: 'UnknownRef', diagnostics: [] };
  const { content, snapshots, blobs } = await judgeCommit(repository, commit, path);
  await store.versions.put(snapshots, blobs, clock.now());
  await store.versions.putContent(id, commit, path, content);
  return content;
}
