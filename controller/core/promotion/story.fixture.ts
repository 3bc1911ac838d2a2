import fc from 'fast-check';
import type { EnvironmentSpec } from '../../../crds/environment.ts';
import { approve, commit, promoteByHand, pushTag, run, type World } from './world.fixture.ts';

const source = { name: 'repo' };
const dev: EnvironmentSpec = { source, track: { branch: 'main' } };
const staging: EnvironmentSpec = {
  source,
  after: ['dev'],
  track: { tag: { semver: '>=1.0.0-0' } },
  gates: [{ upstream: { runs: 1 } }],
};
const prodGates = [
  { upstream: { runs: 2, successRate: 0.5 } },
  { approval: { groups: ['ops'], count: 2, notAuthor: true } },
];
const prod: EnvironmentSpec = { source, after: ['staging'], track: { tag: { semver: '>=1.0.0' } }, gates: prodGates };

/** dev → staging → prod, in a few shapes. */
export const stages = fc.tuple(
  fc.constantFrom<EnvironmentSpec>(dev, dev, { ...dev, gates: [{ approval: {} }] }),
  fc.constantFrom<EnvironmentSpec>(
    staging,
    { ...staging, track: { upstream: true } },
    { ...staging, promote: 'Manual' },
  ),
  fc.constantFrom<EnvironmentSpec>(prod, { ...prod, track: { upstream: true } }),
);

const authors = fc.constantFrom('ann', 'Bob', 'cid');
const tagName = fc.constantFrom(
  'v1.0.0-rc.1',
  'v1.0.0',
  'v1.1.0',
  'v1.2.0',
  'v2.0.0',
  'report/v1.1.0',
  'report/v1.3.0',
  'mail/v1.0.5',
  'latest',
);
const pair = fc.constantFrom(['dan', 'eve'], ['ANN', 'dan'], ['bob', 'eve'], ['dan', 'Dan']);
const workflow = fc.constantFrom('report', 'mail');
const gates = fc.constantFrom<NonNullable<EnvironmentSpec['gates']>>(prodGates, [], [{ approval: {} }]);
const any = fc.nat({ max: 20 });
const version = fc.nat({ max: 3 });
const stage = fc.nat({ max: 2 });
const user = fc.constantFrom('ann', 'Bob', 'dan');
const group = fc.constantFrom('ops', 'dev');
const decision = fc.constantFrom('Approve' as const, 'Approve' as const, 'Approve' as const, 'Reject' as const);

/** What may happen, as data, so that a failing story can be read. What a team does all day comes often. */
export const event = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('commit' as const), report: version, mail: version, author: authors }),
  },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('tagTip' as const), tag: tagName }) },
  { weight: 12, arbitrary: fc.record({ do: fc.constant('runWell' as const), stage }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('approveAsPair' as const), which: any, users: pair }) },
  fc.record({ do: fc.constant('break' as const) }),
  fc.record({ do: fc.constant('forcePush' as const), onto: any }),
  { weight: 2, arbitrary: fc.record({ do: fc.constant('tag' as const), tag: tagName, at: any }) },
  fc.record({ do: fc.constant('deleteTag' as const), tag: tagName }),
  { weight: 2, arbitrary: fc.record({ do: fc.constant('run' as const), stage, workflow, succeeds: fc.boolean() }) },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('approve' as const), stage, which: any, user, group, decision }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('promoteTag' as const), stage, tag: tagName }) },
  fc.record({ do: fc.constant('promoteCommit' as const), stage, at: any }),
  fc.record({ do: fc.constant('deletePromotion' as const), stage, which: any }),
  fc.record({ do: fc.constant('source' as const), error: fc.constantFrom(null, 'connection refused') }),
  fc.record({ do: fc.constant('gates' as const), gates }),
  fc.record({ do: fc.constant('suspend' as const), stage, suspend: fc.boolean() }),
);
type Event = typeof event extends fc.Arbitrary<infer T> ? T : never;

export function happen(world: World, event: Event): void {
  switch (event.do) {
    case 'commit': {
      // Version 0 is a workflow that the commit does not hold.
      const held = Object.entries({ report: event.report, mail: event.mail }).filter(([, held]) => held > 0);
      return commit(world, world.tip, held.length > 0 ? Object.fromEntries(held) : 'NoWorkflows', event.author);
    }
    case 'break':
      return commit(world, world.tip, 'InvalidRef', 'ann');
    case 'forcePush':
      return commit(world, commitAt(world, event.onto), { report: 3, mail: 2 }, 'Bob');
    case 'tagTip':
      return pushTag(world, event.tag, world.tip);
    case 'tag':
      return pushTag(world, event.tag, commitAt(world, event.at));
    case 'deleteTag': {
      const tag = world.tags.get(event.tag);
      if (tag) world.tags.set(event.tag, { ...tag, deleted: true });
      return;
    }
    case 'runWell':
      for (const workflow of ['report', 'mail', 'report', 'mail']) run(stageAt(world, event.stage), workflow, true);
      return;
    case 'run':
      return run(stageAt(world, event.stage), event.workflow, event.succeeds);
    case 'approveAsPair':
      for (const user of event.users) {
        approve(stageAt(world, 2), event.which, { user, groups: ['ops'], decision: 'Approve' });
      }
      return;
    case 'approve': {
      const { user, group, decision } = event;
      return approve(stageAt(world, event.stage), event.which, { user, groups: [group], decision });
    }
    case 'promoteTag':
      return promoteByHand(world, stageAt(world, event.stage), event.tag);
    case 'promoteCommit':
      return promoteByHand(world, stageAt(world, event.stage), commitAt(world, event.at));
    case 'deletePromotion': {
      const fact = stageAt(world, event.stage).promotions[event.which];
      if (fact) fact.deleted = true;
      return;
    }
    case 'source':
      world.error = event.error;
      return;
    case 'gates':
      stageAt(world, 2).spec = { ...stageAt(world, 2).spec, gates: event.gates };
      return;
    case 'suspend':
      stageAt(world, event.stage).spec = { ...stageAt(world, event.stage).spec, suspend: event.suspend };
  }
}

function commitAt(world: World, at: number): string {
  const hashes = [...world.commits.keys()];
  return hashes[at % hashes.length] ?? world.tip;
}

function stageAt(world: World, at: number): World['stages'][number] {
  const stage = world.stages[at];
  if (!stage) throw new Error(`no stage ${at}`);
  return stage;
}
