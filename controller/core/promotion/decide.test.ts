import { describe, expect, test } from 'vitest';
import { formatDiagnostic } from '../diagnostic.ts';
import { active, digest, facts, hash, holds, promotion, start, tag, upstream } from './decide.fixture.ts';
import { decidePromotion } from './decide.ts';
import { nameKey } from './name.ts';

const [a, b, c] = [hash('a'), hash('b'), hash('c')];
const now = start + 1000;
const contents = new Map([
  [a, holds({ report: 'r1', mail: 'm1' })],
  [b, holds({ report: 'r2', mail: 'm1' })],
  [c, holds({ report: 'r3' })],
]);
const activeAtA = [active('report', 'r1', 'v1.0.0', a), active('mail', 'm1', 'v1.0.0', a)];

describe('a stalled or suspended environment decides nothing', () => {
  const waiting = [promotion('v1.0.0')];
  test.each([
    ['SourceNotFound', { source: null }],
    ['AfterCycle', { spec: { after: ['staging', 'prod'] } }],
    ['InvalidRange', { spec: { track: { tag: { semver: 'latest' } } } }],
  ])('%s', (reason, more) => {
    const decision = decidePromotion(facts({ tags: [tag('v1.0.0', a)], contents, promotions: waiting, ...more }), now);
    expect(decision.stalled?.reason).toBe(reason);
    expect(decision).toMatchObject({ create: [], promotions: [], activate: [], read: [] });
  });

  test('suspend', () => {
    const world = facts({ spec: { suspend: true }, tags: [tag('v1.0.0', a)], contents, promotions: waiting });
    expect(decidePromotion(world, now)).toMatchObject({ create: [], promotions: [], activate: [], stalled: null });
  });
});

describe('tag candidates', () => {
  test('the highest tag in range is read, then created', () => {
    const tags = [tag('v1.0.0', a), tag('v1.1.0', b), tag('v2.0.0-rc.1', c), tag('latest', c)];
    expect(decidePromotion(facts({ tags }), now)).toMatchObject({ read: [b], create: [] });
    expect(decidePromotion(facts({ tags, contents }), now)).toMatchObject({
      read: [],
      create: [{ ref: 'v1.1.0', commit: b }],
    });
  });

  test('one that is not newer than what is active is left alone', () => {
    const world = facts({ tags: [tag('v1.0.0', a)], contents, active: [active('report', 'r2', 'v1.1.0', b)] });
    expect(decidePromotion(world, now)).toMatchObject({ create: [], read: [] });
  });

  test.each([
    ['Rejected', null, 'v1.0.0'],
    ['Failed', null, 'v1.0.0'],
    ['Superseded', 'Withdrawn', 'v1.0.0'],
    ['Superseded', 'NewerPromoted', undefined],
    ['Succeeded', null, undefined],
    ['Gating', null, undefined],
  ] as const)('after one that is %s (%s) comes %s', (phase, reason, expected) => {
    const world = facts({
      tags: [tag('v1.0.0', a), tag('v1.1.0', b, { onBranch: true })],
      contents,
      promotions: [promotion('v1.1.0', { phase, reason, commit: b })],
      spec: { gates: [{ approval: {} }] },
    });
    expect(decidePromotion(world, now).create.map(({ ref }) => ref)[0]).toBe(expected);
  });

  test('one that was refused by hand before it was pushed gets its turn', () => {
    const early = promotion('v1.0.0', { phase: 'Rejected', reason: 'UnknownRef', automatic: false });
    const world = facts({ tags: [tag('v1.0.0', a)], contents, promotions: [early] });
    expect(decidePromotion(world, now).create).toHaveLength(1);
  });

  test('deleted tags are none; one off its branch does not stand in the way of a lower one', () => {
    const tags = [tag('v1.0.0', a), tag('v1.1.0', b, { onBranch: false }), tag('v1.2.0', c, { deleted: true })];
    expect(decidePromotion(facts({ tags, contents }), now).create.map(({ ref }) => ref)).toEqual(['v1.1.0', 'v1.0.0']);
  });

  test('tags from before the first workflow are one refusal, not many', () => {
    const empty = { ok: false as const, reason: 'NoWorkflows' as const, diagnostics: [] };
    const world = facts({
      tags: [tag('v1.0.0', a), tag('v1.1.0', b), tag('v1.2.0', c)],
      contents: new Map([
        [a, empty],
        [b, empty],
        [c, empty],
      ]),
      promotions: [promotion('v1.2.0', { phase: 'Rejected', reason: 'NoWorkflows', commit: c })],
    });
    expect(decidePromotion(world, now)).toMatchObject({ create: [], read: [] });
  });

  test('workflows have lines of their own', () => {
    const tags = [tag('v1.0.0', a), tag('report/v1.2.0', b), tag('mail/v0.9.0', b)];
    const created = decidePromotion(facts({ tags, contents }), now).create.map(({ ref }) => ref);
    expect(created).toEqual(['v1.0.0', 'report/v1.2.0']);
  });

  test('a tag whose digests are active already names them, once', () => {
    const tags = [tag('v1.0.1', a)];
    const first = decidePromotion(facts({ tags, contents, active: activeAtA }), now);
    expect(first.create).toEqual([]);
    expect(first.names.map(({ workflow, ref }) => [workflow, ref])).toEqual([
      ['report', 'v1.0.1'],
      ['mail', 'v1.0.1'],
    ]);
    const knownNames = new Set(first.names.map(nameKey));
    expect(decidePromotion(facts({ tags, contents, active: activeAtA, knownNames }), now).names).toEqual([]);
  });

  test('naming overtakes what is older and still waits', () => {
    const world = facts({
      tags: [tag('v1.1.0', b), tag('v1.2.0', a)],
      contents,
      active: activeAtA,
      promotions: [promotion('v1.1.0', { commit: b, phase: 'Gating' })],
      spec: { gates: [{ approval: {} }] },
    });
    expect(decidePromotion(world, now).promotions[0]).toMatchObject({ phase: 'Superseded', reason: 'NewerPromoted' });
  });

  test('Manual picks nothing by itself', () => {
    const world = facts({ tags: [tag('v1.0.0', a)], contents, spec: { promote: 'Manual' } });
    expect(decidePromotion(world, now)).toMatchObject({ create: [], read: [], names: [] });
  });
});

describe('branch candidates', () => {
  const spec = { track: { branch: 'main' } };
  const branches = [{ name: 'main', commit: b }];

  test('the tip, by its commit', () => {
    expect(decidePromotion(facts({ spec, branches, contents }), now).create).toMatchObject([{ ref: b, commit: b }]);
  });

  test.each([
    [true, 0],
    [false, 1],
  ])('a tip that is an ancestor of what is active (%s) makes %i', (before, count) => {
    const world = { spec, branches, contents, active: [active('report', 'r3', c, c)] };
    expect(decidePromotion(facts(world), now).ancestry).toEqual([{ ancestor: b, descendant: c }]);
    const ancestors = new Map([[`${b}..${c}`, before]]);
    expect(decidePromotion(facts({ ...world, ancestors }), now).create).toHaveLength(count);
  });

  test('what is newer overtakes ancestors that wait', () => {
    const world = facts({
      spec,
      branches,
      contents,
      ancestors: new Map([
        [`${a}..${b}`, true],
        [`${b}..${a}`, false],
      ]),
      promotions: [promotion(a, { id: '1' }), promotion(b, { id: '2' })],
    });
    const decision = decidePromotion(world, now);
    expect(decision.promotions.map(({ ref, phase }) => [ref, phase])).toEqual([
      [a, 'Superseded'],
      [b, 'Succeeded'],
    ]);
    expect(decision.activate.map(({ commit }) => commit)).toEqual([b, b]);
  });

  test('a commit that a force-push took off the branch holds', () => {
    const ancestors = new Map([[`${a}..${b}`, false]]);
    const world = facts({ spec, branches, contents, ancestors, promotions: [promotion(a)] });
    expect(decidePromotion(world, now).promotions[0]).toMatchObject({ phase: 'Gating', reason: 'NotOnBranch' });
    expect(decidePromotion(world, now).promotions[0]?.gates).toContainEqual(
      expect.objectContaining({ gate: 'onBranch', open: false }),
    );
  });
});

describe('upstream candidates', () => {
  const spec = { track: { upstream: true as const }, after: ['staging'] };
  const tags = [tag('v1.0.0', a), tag('v1.1.0', b), tag('report/v1.2.0', c)];

  test('what is active upstream, by the name it has there', () => {
    const staging = upstream({ active: [active('report', 'r2', 'v1.1.0', b), active('mail', 'm1', 'v1.0.0', a)] });
    const world = facts({ spec, tags, contents, upstream: new Map([['staging', staging]]) });
    // v1.1.0 names what v1.0.0 brought as well: one promotion carries both.
    expect(
      decidePromotion({ ...world, upstream: new Map([['staging', later(staging, 'report')]]) }, now).create,
    ).toMatchObject([{ ref: 'v1.1.0', commit: b }]);
  });

  test('only what all of them agree on', () => {
    const staging = upstream({ active: [active('report', 'r2', 'v1.1.0', b)] });
    const other = upstream({ active: [active('report', 'r1', 'v1.0.0', a)] });
    const world = facts({
      spec: { ...spec, after: ['staging', 'canary'] },
      tags,
      contents,
      upstream: new Map([
        ['staging', staging],
        ['canary', other],
      ]),
    });
    expect(decidePromotion(world, now).create).toEqual([]);
  });

  test('a ref leaves out what upstream got by a tag of its own', () => {
    const staging = upstream({
      active: [active('report', 'r3', 'report/v1.2.0', c), active('mail', 'm1', 'v1.1.0', b)],
    });
    const world = facts({
      spec,
      tags,
      contents,
      upstream: new Map([['staging', staging]]),
      promotions: [promotion('report/v1.2.0', { id: '1' }), promotion('v1.1.0', { id: '2' })],
    });
    expect(decidePromotion(world, now).activate).toMatchObject([
      { workflow: 'report', ref: 'report/v1.2.0' },
      { workflow: 'mail', ref: 'v1.1.0' },
    ]);
  });

  test('what was retired upstream is retired here', () => {
    const staging = upstream({
      active: [active('report', 'r3', 'v1.1.0', b)],
      retired: [{ workflow: 'mail', ref: 'v1.3.0', commit: c, since: start + 5 }],
    });
    const world = {
      spec,
      tags: [...tags, tag('v1.3.0', c)],
      contents,
      active: [active('report', 'r3', 'v1.1.0', b), active('mail', 'm1', 'v1.1.0', b)],
      upstream: new Map([['staging', staging]]),
    };
    expect(decidePromotion(facts(world), now).create).toMatchObject([{ ref: 'v1.3.0' }]);
    const decision = decidePromotion(facts({ ...world, promotions: [promotion('v1.3.0')] }), now);
    expect(decision.activate).toMatchObject([{ workflow: 'mail', digest: null, ref: 'v1.3.0' }]);
  });

  function later(fact: ReturnType<typeof upstream>, workflow: string) {
    return {
      ...fact,
      active: fact.active.map((version) =>
        version.workflow === workflow ? { ...version, since: start + 1 } : version,
      ),
    };
  }
});

describe('letting in', () => {
  test('is one decision: row, evidence, versions, names and event', () => {
    const world = facts({ tags: [tag('v1.1.0', b)], contents, active: activeAtA, promotions: [promotion('v1.1.0')] });
    const decision = decidePromotion(world, now);
    expect(decision.promotions).toMatchObject([
      {
        phase: 'Succeeded',
        reason: 'Promoted',
        commit: b,
        finishedAt: now,
        changes: [{ workflow: 'report', action: 'Promote', from: digest('r1'), to: digest('r2') }],
        gates: [{ gate: 'onBranch', open: true }],
      },
    ]);
    expect(decision.activate).toEqual([
      { workflow: 'report', digest: digest('r2'), ref: 'v1.1.0', commit: b, at: now },
    ]);
    expect(decision.names.map(({ workflow }) => workflow)).toEqual(['report', 'mail']);
    expect(decision.events).toMatchObject([{ promotion: 'prod-v1.1.0', type: 'Normal', reason: 'Promoted' }]);
  });

  test('a workflow that is gone from the ref is retired', () => {
    const world = facts({ tags: [tag('v1.2.0', c)], contents, active: activeAtA, promotions: [promotion('v1.2.0')] });
    expect(decidePromotion(world, now).activate).toMatchObject([
      { workflow: 'report', digest: digest('r3') },
      { workflow: 'mail', digest: null },
    ]);
  });

  test.each([
    ['came by a tag of its own', 'v1.2.0', [active('mail', 'm1', 'mail/v1.0.0', a)], ['report']],
    ['is not named by the tag', 'report/v1.2.0', activeAtA, ['report']],
  ])('a workflow that %s is not retired', (_, ref, already, changed) => {
    const world = facts({ tags: [tag(ref, c)], contents, active: already, promotions: [promotion(ref)] });
    expect(decidePromotion(world, now).activate.map(({ workflow }) => workflow)).toEqual(changed);
  });

  test('the highest first; older ones that wait are overtaken, newer ones are not', () => {
    const world = facts({
      tags: [tag('v1.0.0', a), tag('v1.1.0', b), tag('v1.2.0', c, { onBranch: false })],
      contents,
      promotions: [promotion('v1.0.0'), promotion('v1.1.0'), promotion('v1.2.0')],
    });
    const decision = decidePromotion(world, now);
    expect(decision.promotions.map(({ ref, phase, reason }) => [ref, phase, reason])).toEqual([
      ['v1.0.0', 'Superseded', 'NewerPromoted'],
      ['v1.1.0', 'Succeeded', 'Promoted'],
      ['v1.2.0', 'Gating', 'NotOnBranch'],
    ]);
    expect(decision.events.map(({ reason }) => reason)).toEqual([
      'PromotionSuperseded',
      'Promoted',
      'PromotionWaiting',
    ]);
  });

  test('a ref of all overtakes older ones made by hand, also where it changes less itself', () => {
    const world = facts({
      tags: [tag('v1.1.0', a, { onBranch: false }), tag('v1.2.0', b)],
      contents: new Map([
        [a, holds({ report: 'r2', mail: 'm2' })],
        [b, holds({ report: 'r2', mail: 'm1' })],
      ]),
      active: [active('report', 'r1', 'v1.0.0', c), active('mail', 'm1', 'v1.0.0', c)],
      promotions: [promotion('v1.1.0', { automatic: false }), promotion('v1.2.0')],
    });
    expect(decidePromotion(world, now).promotions).toMatchObject([
      { phase: 'Superseded', reason: 'NewerPromoted', message: 'v1.2.0 by prod-v1.2.0 is active instead.' },
      { phase: 'Succeeded' },
    ]);
  });

  test('a newer version of one workflow stays when an older ref of all comes in', () => {
    const world = facts({
      tags: [tag('v1.1.0', b)],
      contents,
      active: [active('report', 'r3', 'report/v1.3.0', c)],
      promotions: [promotion('v1.1.0')],
    });
    expect(decidePromotion(world, now).activate.map(({ workflow }) => workflow)).toEqual(['mail']);
  });

  test('an older version only by hand', () => {
    const world = { tags: [tag('v1.0.0', a)], contents, active: [active('report', 'r2', 'v1.1.0', b)] };
    const auto = decidePromotion(facts({ ...world, promotions: [promotion('v1.0.0')] }), now);
    expect(auto.promotions).toMatchObject([{ phase: 'Superseded', reason: 'NewerPromoted' }]);
    const byHand = decidePromotion(facts({ ...world, promotions: [promotion('v1.0.0', { automatic: false })] }), now);
    expect(byHand.activate).toMatchObject([
      { workflow: 'report', digest: digest('r1') },
      { workflow: 'mail', digest: digest('m1') },
    ]);
  });

  test('what is active already is told and named', () => {
    const promotions = [promotion('v1.0.1', { automatic: false })];
    const world = facts({ tags: [tag('v1.0.1', a)], contents, active: activeAtA, promotions });
    const decision = decidePromotion(world, now);
    expect(decision.promotions).toMatchObject([{ phase: 'Succeeded', reason: 'NothingToChange' }]);
    expect(decision.activate).toEqual([]);
    expect(decision.names).toHaveLength(2);
  });

  test('by hand, a commit that is on the branch', () => {
    const world = {
      contents,
      branches: [{ name: 'main', commit: c }],
      promotions: [promotion(b, { automatic: false })],
    };
    expect(decidePromotion(facts(world), now).ancestry).toEqual([{ ancestor: b, descendant: c }]);
    const on = decidePromotion(facts({ ...world, ancestors: new Map([[`${b}..${c}`, true]]) }), now);
    expect(on.promotions[0]?.phase).toBe('Succeeded');
    const off = decidePromotion(facts({ ...world, ancestors: new Map([[`${b}..${c}`, false]]) }), now);
    expect(off.promotions[0]).toMatchObject({ phase: 'Gating', reason: 'NotOnBranch' });
  });

  test('in a Manual environment only those made by hand', () => {
    const spec = { promote: 'Manual' as const };
    const world = { spec, tags: [tag('v1.0.0', a)], contents };
    const auto = decidePromotion(facts({ ...world, promotions: [promotion('v1.0.0')] }), now);
    expect(auto.promotions).toMatchObject([{ phase: 'Gating', reason: 'ManualOnly' }]);
    const byHand = decidePromotion(facts({ ...world, promotions: [promotion('v1.0.0', { automatic: false })] }), now);
    expect(byHand.promotions).toMatchObject([{ phase: 'Succeeded' }]);
  });

  test('a range that was narrowed holds what was picked by the old one', () => {
    const spec = { track: { tag: { semver: '>=2.0.0' } } };
    const world = facts({ spec, tags: [tag('v1.0.0', a)], contents, promotions: [promotion('v1.0.0')] });
    expect(decidePromotion(world, now).promotions).toMatchObject([{ phase: 'Gating', reason: 'NotTracked' }]);
  });
});

describe('refusing', () => {
  const mistake = {
    file: 'workflows/a.yaml',
    line: 3,
    column: 5,
    severity: 'error',
    rule: 'x',
    message: 'no',
  } as const;
  const broken = { ok: false as const, reason: 'InvalidRef' as const, diagnostics: [mistake] };

  test('warnings are told beside mistakes, not among them', () => {
    const warnings = [4, 5].map((line) => ({ ...mistake, line, severity: 'warning' as const }));
    const content = { ...broken, diagnostics: [mistake, ...warnings] };
    const world = facts({
      tags: [tag('v1.0.0', a)],
      contents: new Map([[a, content]]),
      promotions: [promotion('v1.0.0')],
    });
    expect(decidePromotion(world, now).promotions[0]?.message).toBe(
      'v1.0.0 has 1 mistake, 2 warnings; nothing of it is promoted. Correct it and push a new version.',
    );
  });

  test.each([
    ['InvalidRef', 'v1.0.0', broken],
    ['InvalidRef', 'report/v1.0.0', broken],
    ['NoWorkflows', 'v1.0.0', { ok: false as const, reason: 'NoWorkflows' as const, diagnostics: [] }],
    ['UnknownWorkflow', 'mail/v1.0.0', holds({ report: 'r1' })],
  ])('%s of %s', (reason, ref, content) => {
    const world = facts({
      tags: [tag(ref, a)],
      contents: new Map([[a, content]]),
      active: [active('report', 'r0', 'v0.9.0', b)],
      promotions: [promotion(ref)],
    });
    const decision = decidePromotion(world, now);
    expect(decision.promotions).toMatchObject([{ phase: 'Rejected', reason, finishedAt: now }]);
    expect(decision.promotions[0]?.diagnostics).toEqual(content.ok ? [] : content.diagnostics);
    expect(decision.activate).toEqual([]);
    expect(decision.events).toMatchObject([{ type: 'Warning', reason: 'PromotionRejected' }]);
    const [head, ...lines] = (decision.events[0]?.message ?? '').split('\n');
    expect(head).toContain(`${ref} into prod: `);
    expect(lines).toEqual((content.ok ? [] : content.diagnostics).map(formatDiagnostic));
  });

  test('a broken candidate becomes a Promotion, so that its refusal is seen', () => {
    const world = facts({ tags: [tag('v1.0.0', a)], contents: new Map([[a, broken]]) });
    expect(decidePromotion(world, now).create).toHaveLength(1);
  });

  test.each(['v9.9.9', 'main', 'abc1234', hash('A')])('%s is no ref that the source knows', (ref) => {
    const decision = decidePromotion(facts({ promotions: [promotion(ref, { automatic: false })] }), now);
    expect(decision.promotions).toMatchObject([{ phase: 'Rejected', reason: 'UnknownRef' }]);
  });

  test.each([
    [{ report: 'r1' }, 'Succeeded', 'Promoted'],
    [{ report: 'r2' }, 'Rejected', 'DigestMismatch'],
    [{ gone: 'r1' }, 'Rejected', 'DigestMismatch'],
  ])('expected %j: %s %s', (expected, phase, reason) => {
    const fact = promotion('v1.0.0', { automatic: false }, { expected: holds(expected).workflows });
    const world = facts({ tags: [tag('v1.0.0', a)], contents, promotions: [fact] });
    expect(decidePromotion(world, now).promotions).toMatchObject([{ phase, reason }]);
  });

  test('a deleted tag and a deleted Promotion withdraw what waits', () => {
    const world = facts({
      tags: [tag('v1.0.0', a, { deleted: true }), tag('v1.1.0', b)],
      contents,
      promotions: [promotion('v1.0.0'), promotion('v1.1.0', {}, { deleted: true })],
    });
    expect(decidePromotion(world, now).promotions.map(({ reason }) => reason)).toEqual(['TagDeleted', 'Withdrawn']);
  });

  test('a moved tag keeps its commit and is told once', () => {
    const tags = [tag('v1.0.0', a, { movedTo: c })];
    const done = promotion('v1.0.0', { phase: 'Succeeded', reason: 'Promoted', message: 'Let in.', commit: a });
    const first = decidePromotion(facts({ tags, contents, active: activeAtA, promotions: [done] }), now);
    expect(first.events).toMatchObject([{ type: 'Warning', reason: 'TagMoved' }]);
    expect(first.activate).toEqual([]);
    const promotions = first.promotions.map((row) => ({ ...done, row }));
    const again = decidePromotion(facts({ tags, contents, active: activeAtA, promotions }), now);
    expect(again).toMatchObject({ promotions: [], events: [] });
    const fresh = decidePromotion(facts({ tags, contents, promotions: [promotion('v1.0.0')] }), now);
    expect(fresh.activate.map(({ commit }) => commit)).toEqual([a, a]);
    expect(fresh.events.map(({ reason }) => reason)).toEqual(['TagMoved', 'Promoted']);
  });
});

describe('while the source cannot be read', () => {
  const source = { branch: 'main', error: { reason: 'SourceUnreachable' as const, message: 'connection refused' } };

  test('what is known goes on', () => {
    const world = facts({ source, tags: [tag('v1.0.0', a)], contents, promotions: [promotion('v1.0.0')] });
    expect(decidePromotion(world, now).activate).toHaveLength(2);
  });

  test('what must be read waits, and nothing is asked or refused', () => {
    const promotions = [promotion('v1.0.0'), promotion('v1.1.0', { automatic: false })];
    const decision = decidePromotion(facts({ source, tags: [tag('v1.0.0', a)], promotions }), now);
    expect(decision.read).toEqual([]);
    expect(decision.promotions).toMatchObject([
      { phase: 'Pending', reason: 'SourceUnreachable' },
      { phase: 'Pending', reason: 'SourceUnreachable' },
    ]);
  });
});
