import { formatDiagnostic } from '../../../controller/core/diagnostic.ts';
import type { SourceResource } from '../../../api/client.ts';
import type { Claims } from './claims.ts';
import type { DemoController } from './controller.ts';
import { isGateOpen, type Observer } from './observer.ts';
import { ran, seconds } from './report.ts';
import type { TeamRepository } from './repository.ts';

/** What the team has at hand. */
export interface World {
  team: TeamRepository;
  controller: DemoController;
  claims: Claims;
  observer: Observer;
}

/** One thing the team does; `act` tells what came of it line by line, and throws when something said is not true. */
export interface Chapter {
  title: string;
  act(world: World, say: (line: string) => void): Promise<void>;
}

/** The main job from a merge to prod, and what goes wrong on the way. */
export const chapters: readonly Chapter[] = [
  {
    title: 'Merge a change: active in dev by itself',
    async act({ team, observer }, say) {
      const before = Date.now();
      const merge = await team.mergeChange();
      const { since } = await observer.active('dev', merge);
      say(`merge ${merge.slice(0, 7)} active in dev after ${seconds(Date.parse(since) - before)}`);
    },
  },
  {
    title: 'Tag v1.1.0-rc.1: into staging after one good run in dev',
    async act({ team, controller: { client }, claims, observer }, say) {
      const commit = await team.tag('v1.1.0-rc.1');
      const held = await observer.promotion('staging', 'v1.1.0-rc.1', 'waits for its upstream gate', (seen) =>
        isGateOpen(seen, 'upstream', false),
      );
      say(`staging holds it: ${held.message}`);
      const { active } = await client.environment('staging');
      claims.holds('nothing is active in staging before its gate opens', active, ({ length }) => length === 0);
      say(ran(await observer.run('dev', {})));
      const version = await observer.active('staging', 'v1.1.0-rc.1');
      claims.holds('the tagged commit is what is active', version, (seen) => seen.commit === commit);
      say('v1.1.0-rc.1 active in staging');
    },
  },
  {
    title: 'Tag v1.1.0: into prod after one good run in staging and an approval',
    async act({ team, controller: { client, cli }, claims, observer }, say) {
      await team.tag('v1.1.0');
      const held = await observer.promotion('prod', 'v1.1.0', 'waits for both gates', (seen) =>
        ['upstream', 'approval'].every((gate) => isGateOpen(seen, gate, false)),
      );
      say(`prod holds it: ${held.message}`);
      say(ran(await observer.run('staging', { region: 'us' })));
      await observer.promotion(
        'prod',
        'v1.1.0',
        'waits only for approval',
        (seen) => isGateOpen(seen, 'upstream', true) && isGateOpen(seen, 'approval', false),
      );
      claims.holds(
        'nothing is active in prod before the approval',
        await client.environment('prod'),
        ({ active }) => active.length === 0,
      );
      say(`$ windlass approve ${held.name} --comment "ship it"`);
      await cli('approve', held.name, '--comment', 'ship it');
      await observer.active('prod', 'v1.1.0');
      const { approvals } = await client.promotion(held.name);
      claims.holds('the approval is recorded', approvals, ([first]) => first?.comment === 'ship it');
      say(`approved by ${approvals[0]?.user}; v1.1.0 active in prod`);
      say(ran(await observer.run('prod', { region: 'us' })));
    },
  },
  {
    title: 'Make a run fail: it recovers by retry',
    async act({ claims, observer }, say) {
      const run = await observer.run('prod', { flaky: true });
      const fetch = run.steps.find(({ name }) => name === 'fetch');
      const phases = fetch?.attempts.map(({ phase }) => phase).join();
      claims.holds('fetch fails, and succeeds when it is tried again', fetch, () => phases === 'Failed,Succeeded');
      say(`fetch: ${fetch?.attempts[0]?.error?.message}; attempt 2 succeeded`);
      say(ran(run));
    },
  },
  {
    title: 'Merge two mistakes: refused whole, dev keeps what it has',
    async act({ team, controller: { client }, claims, observer }, say) {
      const before = await client.environment('dev');
      const merge = await team.mergeMistakes();
      const refused = await observer.promotion('dev', merge, 'is rejected', ({ phase }) => phase === 'Rejected');
      claims.holds('each mistake is told', refused.diagnostics, (seen) =>
        same(
          seen.map(({ rule }) => rule),
          ['schema-unknown-field', 'expression-reference'],
        ),
      );
      for (const diagnostic of refused.diagnostics) say(formatDiagnostic(diagnostic));
      const after = await client.environment('dev');
      claims.holds('dev keeps its version', after.active, (active) => same(active, before.active));
      const revert = await team.revertMerge();
      await claims.becomes(
        `the revert ${revert} is one more name of the version that dev has`,
        async () => (await client.versions({ workflow: 'nightly-report' })).items,
        (names) => names.some(({ ref, digest }) => ref === revert && digest === before.active[0]?.digest),
      );
      say(`dev kept ${before.active[0]?.ref.slice(0, 7)}; the team reverts the merge`);
    },
  },
  {
    title: 'Move the tag v1.1.0: refused',
    async act({ team, controller: { client }, claims }, say) {
      const before = await client.environment('prod');
      const commit = await team.moveTag('v1.1.0');
      const source = await claims.becomes(
        'the source refuses the moved tag',
        async () => (await client.sources()).items,
        ([seen]) => refusalOf(seen) !== undefined,
      );
      const event = await claims.event('TagMoved');
      const refusal = refusalOf(source[0]);
      claims.holds('the refused commit is the new one', refusal, (seen) => seen?.commit === commit);
      say(`${event.type} ${event.reason}: ${event.message}`);
      const after = await client.environment('prod');
      claims.holds('prod keeps its version', after.active, (active) => same(active, before.active));
    },
  },
];

function refusalOf(source: SourceResource | undefined) {
  return source?.refused.find(({ ref, reason }) => ref === 'v1.1.0' && reason === 'TagMoved');
}

function same(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
