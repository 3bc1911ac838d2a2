import { setTimeout as delay } from 'node:timers/promises';
import type { Client, EnvironmentResource, ObjectKey, PromotionSummary, SourceResource } from '../api/client.ts';
import { formatDiagnostic } from '../controller/core/diagnostic.ts';
import type { Io } from './io.ts';
import { formatTable } from './output/table.ts';
import { createPaint, printable, shortRef } from './output/text.ts';
import { describeTrack, environments } from './resources/environments.ts';
import { type AnyResource } from './resources/index.ts';
import { firstItems } from './resources/paging.ts';
import { workflows } from './resources/workflows.ts';

/** The first fetch of a large repository takes its time; what comes later is told by the live lines. */
const firstFetchMs = 10_000;
/** After it, promotions follow at once; environments that only track tags may have none. */
const promotionsMs = 2_000;
const pollMs = 100;

/** Flux's convention: the value of this annotation comes back in status.lastHandledReconcileAt. */
const requestedAt = 'windlass.dev/requestedAt';

/** The smallest workflow there is. */
export const smallestWorkflow = `apiVersion: windlass.dev/v1alpha1
kind: Workflow
metadata:
  name: hello
spec:
  steps:
    - name: greet
      run: echo "Hello from Windlass"
`;

/** Prints what was found in the repository, and what can be done with it. */
export async function announce(
  io: Io,
  client: Client,
  served: { source: ObjectKey; branch: string; path: string },
  signal: AbortSignal,
): Promise<void> {
  const found = await settled(io, client, served.source, signal);
  if (signal.aborted) return;
  const out = (text: string) => io.stdout.write(text);
  for (const condition of found.source?.conditions ?? []) {
    if (condition.type === 'Ready' && condition.status === 'False') out(`\n${printable(condition.message)}\n`);
  }
  if (found.environments.length > 0) out(`\n${table(io, environments, found.environments)}`);
  if (found.workflows.length > 0) out(`\n${table(io, workflows, found.workflows)}`);
  const refused = newestRefused(found);
  const none = found.workflows.length === 0 ? whyNone(found) : null;
  if (none?.empty) {
    out(
      `\nThere is no workflow in it yet. The smallest one, to be committed to ${served.branch} as ${served.path}/hello.yaml:\n\n` +
        smallestWorkflow.replace(/^(?=.)/gm, '    '),
    );
    return;
  }
  if (none !== null && none.why !== '') out(`\n${printable(none.why)}\n`);
  for (const { name } of refused) {
    const { ref, environment, message, diagnostics } = await client.promotion(name);
    out(`\n${shortRef(ref)} is refused for ${environment}: ${printable(message ?? '')}\n`);
    for (const diagnostic of diagnostics) out(`  ${printable(formatDiagnostic(diagnostic))}\n`);
  }
}

/**
 * Why no workflow is active: the tree at the branch's tip is `empty`, or what `why` says; nothing when that is said
 * elsewhere.
 */
export function whyNone(found: Found): { empty: boolean; why: string } {
  const { source, environments, promotions } = found;
  const refused = newestRefused(found);
  const told = refused.some(({ reason }) => reason !== 'NoWorkflows');
  const tip = promotions.find(({ ref, commit }) => (commit ?? ref) === source?.commit);
  if (!told && tip?.reason === 'NoWorkflows') return { empty: true, why: '' };
  const unfetched = source?.conditions.some(({ type, status }) => type === 'Ready' && status === 'False') ?? true;
  if (told || unfetched) return { empty: false, why: '' };
  const because = (why: string) => ({ empty: false, why: `No workflow is active yet. ${why}` });
  for (const { name, conditions } of environments) {
    const ready = conditions.find(({ type, status }) => type === 'Ready' && status === 'False');
    if (ready) return because(`Environment ${name}: ${ready.reason}: ${ready.message}`);
  }
  const waits = promotions.find(({ phase }) => phase === 'Pending' || phase === 'Gating');
  if (waits) return because(`${shortRef(waits.ref)} waits for ${waits.environment}: ${waits.message ?? ''}`);
  const tracks = environments.map((e) => `${e.name} takes ${describeTrack(e.spec.track)}`).join(', ');
  return because(`No ref is a candidate${tracks === '' ? '' : `: ${tracks}`}; see windlass get promotions.`);
}

/**
 * Of each environment the newest promotion, when it was rejected, and the branch has not gone on since. Newest first is
 * how they come.
 */
export function newestRefused({ source, environments, promotions }: Found): PromotionSummary[] {
  const newest = new Map(promotions.toReversed().map((promotion) => [promotion.environment, promotion]));
  const branches = new Map(environments.map(({ name, spec }) => [name, spec.track.branch]));
  return [...newest.values()].filter(({ phase, environment, ref, automatic }) => {
    // A later commit that changes nothing, such as one that takes the mistake back, makes no promotion.
    const passed =
      automatic &&
      branches.get(environment) === source?.branch &&
      typeof source?.commit === 'string' &&
      ref !== source.commit;
    return phase === 'Rejected' && !passed;
  });
}

/** What happens, a line for each event after `after`, until the signal. */
export async function followProgress(io: Io, client: Client, after: number, signal: AbortSignal): Promise<void> {
  for await (const event of client.followEvents({ after }, signal)) {
    const time = new Date(event.at).toTimeString().slice(0, 8);
    const mark = event.type === 'Warning' ? ' !' : '';
    const message = printable(event.message).replaceAll('\n', '\n         ');
    io.stdout.write(`${time}${mark} ${event.kind} ${event.namespace}/${event.name}: ${event.reason}: ${message}\n`);
  }
}

export interface Found {
  source: SourceResource | undefined;
  environments: EnvironmentResource[];
  workflows: Awaited<ReturnType<Client['workflows']>>['items'];
  promotions: PromotionSummary[];
}

/** What the repository brought, once the first fetch and what it led to are over, or have taken too long. */
async function settled(io: Io, client: Client, source: ObjectKey, signal: AbortSignal): Promise<Found> {
  const began = io.clock.monotonic();
  // What the statuses say may be of an earlier start; what answers this request is not.
  const { metadata } = await client.reconcileSource(source);
  const requested = metadata.annotations[requestedAt];
  for (let fetchedAt: number | null = null; ; ) {
    const found = await look(client);
    const { status } = await client.get('WorkflowSource', source);
    const handled = status?.lastHandledReconcileAt === requested;
    const ready = handled ? status?.conditions?.find((c) => c.type === 'Ready') : undefined;
    const now = io.clock.monotonic();
    if (ready?.status === 'True') fetchedAt ??= now;
    const fetched = fetchedAt !== null && (isSettled(found) || now - fetchedAt > promotionsMs);
    if (signal.aborted || fetched || ready?.status === 'False' || now - began > firstFetchMs) return found;
    await delay(pollMs, undefined, { signal }).catch(() => {});
  }
}

async function look(client: Client): Promise<Found> {
  const [sources, environments, workflows, promotions] = await Promise.all([
    client.sources(),
    client.environments(),
    firstItems((page) => client.workflows(page)),
    client.promotions(),
  ]);
  return {
    source: sources.items[0],
    environments: environments.items,
    workflows: workflows.items,
    promotions: promotions.items,
  };
}

function isSettled({ environments, workflows, promotions }: Found): boolean {
  const judged =
    environments.length > 0 &&
    environments.every((e) => e.conditions.some((c) => c.type === 'Ready' && c.reason !== 'SourceUnreachable'));
  const pending = promotions.some((p) => p.phase === 'Pending');
  return judged && !pending && (workflows.length > 0 || promotions.length > 0);
}

function table(io: Io, { columns }: AnyResource, items: readonly unknown[]): string {
  const view = { now: io.clock.now(), paint: createPaint(io, io.stdout) };
  return formatTable(
    columns.map((column) => column.head),
    items.map((item) => columns.map((column) => column.value(item, view))),
  );
}
