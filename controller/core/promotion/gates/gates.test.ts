import { describe, expect, test } from 'vitest';
import type { Gate } from '../../../../crds/environment.ts';
import type { PromotionApproval } from '../../../../crds/promotion.ts';
import { active, digest, facts, hash, holds, promotion, start, tag, upstream } from '../decide.fixture.ts';
import { decidePromotion } from '../decide.ts';
import { readIdentities } from '../identities.ts';
import type { PromotionFact, PromotionFacts, UpstreamFact } from '../types.ts';

const commit = hash('a');
const now = start + 1000;

interface Setting {
  gates?: Gate[];
  staging?: UpstreamFact | null;
  after?: string[];
  fact?: Partial<PromotionFact>;
  row?: Partial<PromotionFact['row']>;
  already?: ReturnType<typeof active>[];
  holds?: Record<string, string>;
  more?: Partial<Pick<PromotionFacts, 'approvalsHeld' | 'identities'>>;
}

/** Tag v1.0.0 with report at r1, on its way into prod. */
function decide(setting: Setting) {
  const { staging = upstream({ active: [active('report', 'r1', 'v1.0.0', commit)] }) } = setting;
  const world = facts({
    spec: { after: setting.after ?? ['staging'], ...(setting.gates ? { gates: setting.gates } : {}) },
    tags: [tag('v1.0.0', commit)],
    contents: new Map([[commit, holds(setting.holds ?? { report: 'r1' })]]),
    active: setting.already ?? [],
    upstream: staging === null ? new Map() : new Map([['staging', staging]]),
    promotions: [promotion('v1.0.0', setting.row, setting.fact)],
    ...setting.more,
  });
  const decision = decidePromotion(world, now);
  const [row] = decision.promotions;
  if (!row) throw new Error('nothing was decided');
  return { ...row, wakeAt: decision.wakeAt, gate: (name: string) => row.gates.find(({ gate }) => gate === name) };
}

describe('after', () => {
  const elsewhere = active('report', 'r2', 'v1.1.0', commit);
  test.each([
    ['is active there', upstream({ active: [active('report', 'r1', 'v1.0.0', commit)] }), true],
    [
      'was active there',
      upstream({ active: [elsewhere], history: [{ workflow: 'report', digest: digest('r1') }] }),
      true,
    ],
    ['never was', upstream({ active: [elsewhere] }), false],
    ['was, of another workflow', upstream({ history: [{ workflow: 'mail', digest: digest('r1') }] }), false],
    ['cannot be: no such environment', upstream({ exists: false }), false],
    ['cannot be: not even asked for', null, false],
  ])('a digest that %s', (_, staging, open) => {
    const row = decide({ staging });
    expect(row.phase).toBe(open ? 'Succeeded' : 'Gating');
    expect(row.gate('after')).toMatchObject({ open });
    expect(row.reason).toBe(open ? 'Promoted' : 'WaitingForAfter');
  });

  test.each([
    ['is gone there', [], true],
    ['is active there still', [active('mail', 'm1', 'v0.9.0', commit)], false],
  ])('what goes %s', (_, more, open) => {
    const staging = upstream({ active: [active('report', 'r1', 'v1.0.0', commit), ...more] });
    const row = decide({ staging, already: [active('mail', 'm1', 'v0.9.0', hash('b'))] });
    expect(row.changes.map(({ action }) => action)).toEqual(['Promote', 'Retire']);
    expect(row.gate('after')?.open).toBe(open);
  });

  test('every one of them', () => {
    const row = decide({ after: ['staging', 'canary'] });
    expect(row.gate('after')).toEqual({ gate: 'after', open: false, message: 'canary: no such environment.' });
  });
});

describe('upstream', () => {
  const gates = [{ upstream: { runs: 3, successRate: 0.75 } }];
  test.each([
    [undefined, 0, false, 'staging: report has 0 of 3 finished runs, 3 missing.'],
    [1, 1, false, 'staging: report has 1 of 3 finished runs, 2 missing.'],
    [3, 3, true, 'staging: report succeeded in 3 of 3 finished runs.'],
    [4, 3, true, 'staging: report succeeded in 3 of 4 finished runs.'],
    [4, 2, false, 'staging: report succeeded in 2 of 4 finished runs, a share of 0.75 is asked.'],
  ])('%s finished, %i succeeded', (finished, succeeded, open, message) => {
    const counts = { workflow: 'report', digest: digest('r1'), succeeded, degraded: 0 };
    const runs = finished === undefined ? [] : [{ ...counts, finished }];
    const staging = upstream({ active: [active('report', 'r1', 'v1.0.0', commit)], runs });
    expect(decide({ gates, staging }).gate('upstream')).toEqual({ gate: 'upstream', open, message });
  });

  test('all runs must succeed unless the gate says otherwise', () => {
    const runs = [{ workflow: 'report', digest: digest('r1'), finished: 100, succeeded: 99, degraded: 0 }];
    const staging = upstream({ active: [active('report', 'r1', 'v1.0.0', commit)], runs });
    expect(decide({ gates: [{ upstream: { runs: 3 } }], staging }).gate('upstream')?.open).toBe(false);
  });

  test.each([
    ['Allow', true],
    ['Deny', false],
    [undefined, false],
  ] as const)('degraded: %s', (degraded, open) => {
    const runs = [{ workflow: 'report', digest: digest('r1'), finished: 3, succeeded: 2, degraded: 1 }];
    const staging = upstream({ active: [active('report', 'r1', 'v1.0.0', commit)], runs });
    const asked = [{ upstream: { runs: 3, ...(degraded ? { degraded } : {}) } }];
    expect(decide({ gates: asked, staging }).gate('upstream')?.open).toBe(open);
  });

  test('runs of another digest and of other workflows do not count; each workflow that changes is judged', () => {
    const staging = upstream({
      active: [active('report', 'r1', 'v1.0.0', commit), active('mail', 'm1', 'v1.0.0', commit)],
      runs: [
        { workflow: 'report', digest: digest('r1'), finished: 3, succeeded: 3, degraded: 0 },
        { workflow: 'mail', digest: digest('m0'), finished: 9, succeeded: 9, degraded: 0 },
      ],
    });
    const row = decide({ gates, staging, holds: { report: 'r1', mail: 'm1' } });
    expect(row.gate('upstream')?.message).toBe('staging: mail has 0 of 3 finished runs, 3 missing.');
    const unchanged = decide({
      gates,
      staging,
      holds: { report: 'r1', mail: 'm1' },
      already: [active('mail', 'm1', 'v0.9.0', commit)],
    });
    expect(unchanged.gate('upstream')?.open).toBe(true);
  });

  test('without an environment before it, it cannot be judged and holds', () => {
    expect(decide({ gates, after: [] })).toMatchObject({ phase: 'Gating', reason: 'WaitingForUpstream' });
  });
});

describe('approval', () => {
  const ann: PromotionApproval = { user: 'ann', groups: ['ops'], decision: 'Approve' };
  const gate = (approval: NonNullable<Gate['approval']>) => [{ approval }];
  const wroteIt = [{ name: 'Ann Smith', email: 'ann@example.com' }];

  test.each<[string, NonNullable<Gate['approval']>, PromotionApproval[], boolean]>([
    ['nobody', {}, [], false],
    ['one of one', {}, [ann], true],
    ['the same person twice', { count: 2 }, [ann, { ...ann, user: 'Ann' }], false],
    ['two people', { count: 2 }, [ann, { ...ann, user: 'bob' }], true],
    ['someone of the group', { groups: ['dev', 'ops'] }, [ann], true],
    ['someone of another group', { groups: ['dev'] }, [ann], false],
    ['someone of no group', { groups: ['dev'] }, [{ user: 'ann', decision: 'Approve' }], false],
    ['an author by the local part', { notAuthor: true }, [{ ...ann, user: 'ANN' }], false],
    ['an author by address', { notAuthor: true }, [{ ...ann, user: 'Ann@Example.com' }], false],
    ['an author by name', { notAuthor: true }, [{ ...ann, user: 'ann smith' }], false],
    ['someone else', { notAuthor: true }, [{ ...ann, user: 'bob' }], true],
    ['an author, where that is allowed', {}, [ann], true],
  ])('%s', (_, approval, approvals, open) => {
    const row = decide({ gates: gate(approval), fact: { approvals, authors: wroteIt } });
    expect(row.gate('approval')?.open).toBe(open);
    expect(row.phase).toBe(open ? 'Succeeded' : 'Gating');
  });

  test('says who is missing and who does not count', () => {
    const approvals = [ann, { ...ann, user: 'bob' }, { ...ann, user: 'cid', groups: [] }];
    const row = decide({
      gates: gate({ groups: ['ops'], count: 2, notAuthor: true }),
      fact: { approvals, authors: wroteIt },
    });
    expect(row.gate('approval')?.message).toBe(
      '1 of 2 approvals from ops (bob); not counted: ann wrote some of it; cid is in none of the groups.',
    );
    expect(row.reason).toBe('WaitingForApproval');
  });

  test('holds, and comes back at once, while the authors are not known', () => {
    const fact = { approvals: [{ ...ann, user: 'bob' }], authors: null };
    expect(decide({ gates: gate({ notAuthor: true }), fact })).toMatchObject({ phase: 'Gating', commit, wakeAt: now });
    expect(decide({ gates: gate({}), fact })).toMatchObject({ phase: 'Succeeded' });
  });

  test.each<[string, Record<string, string>, PromotionApproval[], boolean, string]>([
    ['else', { table: 'ann@example.com: smith' }, [ann], true, '1 of 1 approvals (ann).'],
    [
      'the author',
      { table: 'Ann@example.com: ANN' },
      [ann],
      false,
      '0 of 1 approvals; not counted: ann wrote some of it.',
    ],
    [
      'anyone, of an author who maps to nobody',
      { table: 'bob@example.com: bob' },
      [ann],
      false,
      'ann@example.com wrote',
    ],
    ['anyone, without a table', {}, [ann], false, 'ann@example.com wrote some of it and may be any approver'],
    [
      'anyone, by a table with a mistake',
      { table: 'ann@example.com: [x]' },
      [ann],
      false,
      'must be the name of a user',
    ],
  ])('where users are told by a table: %s', (_, table, approvals, open, message) => {
    const fact = { approvals, authors: wroteIt };
    const row = decide({ gates: gate({ notAuthor: true }), fact, more: { identities: readIdentities(table) } });
    expect(row.gate('approval')?.open).toBe(open);
    expect(row.gate('approval')?.message).toContain(message);
  });

  test('which entries are not believed is said', () => {
    const row = decide({ gates: gate({}), fact: { approvals: [], doubts: "ann's approval is of old: approve again" } });
    expect(row.gate('approval')).toMatchObject({
      open: false,
      message: "0 of 1 approvals; ann's approval is of old: approve again.",
    });
  });

  test('nothing that entries say counts while they cannot be believed', () => {
    const more = { approvalsHeld: 'There is no policy.' };
    const no: PromotionApproval = { ...ann, user: 'eve', decision: 'Reject' };
    const row = decide({ gates: gate({}), fact: { approvals: [ann, no] }, more });
    expect(row).toMatchObject({ phase: 'Gating', reason: 'WaitingForApproval' });
    expect(row.gate('approval')).toEqual({ gate: 'approval', open: false, message: 'There is no policy.' });
  });

  test.each<[string, Gate[], string[], boolean]>([
    ['someone of the group', gate({ groups: ['ops'] }), ['ops'], true],
    ['someone of another group', gate({ groups: ['ops'] }), ['dev'], false],
    ['anyone, where no gate asks for approval', [], [], true],
  ])('%s rejects', (_, gates, groups, rejected) => {
    const no: PromotionApproval = { user: 'eve', groups, decision: 'Reject', comment: 'not today' };
    const row = decide({ gates, fact: { approvals: [ann, no] } });
    expect(row.reason === 'ApprovalRejected').toBe(rejected);
    expect(row.message === 'eve rejected it: not today').toBe(rejected);
  });
});

describe('the gates as they were and as they are', () => {
  const one: Gate[] = [{ approval: { count: 1 } }];
  const two: Gate[] = [{ approval: { count: 2 } }];
  const fact = { approvals: [{ user: 'ann', decision: 'Approve' as const }] };

  test.each([
    ['as when it began', one, one, 'Succeeded'],
    ['tightened: at once', one, two, 'Gating'],
    ['loosened: only for later ones', two, one, 'Gating'],
    ['taken away: only for later ones', two, [], 'Gating'],
    ['added: at once', [], two, 'Gating'],
  ])('%s', (_, gatesAtStart, gates, phase) => {
    expect(decide({ gates, fact, row: { phase: 'Gating', commit, gatesAtStart } }).phase).toBe(phase);
  });

  test('what it began with is kept', () => {
    const stayed = decide({ gates: two, fact, row: { phase: 'Gating', commit, gatesAtStart: one } });
    expect(stayed.gatesAtStart).toEqual(one);
    expect(decide({ gates: two, fact }).gatesAtStart).toEqual(two);
  });

  test.each([[{ soak: '24h' }], [{}]])('%j, which cannot be evaluated, holds', (gate) => {
    expect(decide({ gates: [gate as Gate] })).toMatchObject({ phase: 'Gating', reason: 'UnknownGate' });
  });
});
