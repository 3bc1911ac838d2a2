import { Ajv } from 'ajv';
import { describe, expect, test } from 'vitest';
import { EnvironmentStatus } from '../../../crds/environment.ts';
import { PromotionStatus } from '../../../crds/promotion.ts';
import { active, hash, row, start } from './decide.fixture.ts';
import { type EnvironmentView, projectEnvironmentStatus, projectPromotionStatus } from './project.ts';
import type { PromotionRow } from './types.ts';

const commit = hash('a');
const later = start + 60_000;

function conditionsOf(status: { conditions?: { type: string; status: string; reason: string }[] }) {
  return Object.fromEntries(
    (status.conditions ?? []).map(({ type, status: value, reason }) => [type, `${value} ${reason}`]),
  );
}

describe('a Promotion', () => {
  test.each<[Partial<PromotionRow>, Record<string, string>]>([
    [{}, { Ready: 'Unknown Pending', Reconciling: 'True Pending' }],
    [
      { phase: 'Gating', reason: 'WaitingForApproval' },
      { Ready: 'Unknown WaitingForApproval', Reconciling: 'True WaitingForApproval' },
    ],
    [{ phase: 'Succeeded', reason: 'Promoted' }, { Ready: 'True Promoted' }],
    [
      { phase: 'Rejected', reason: 'InvalidRef' },
      { Ready: 'False InvalidRef', Stalled: 'True InvalidRef' },
    ],
    [
      { phase: 'Superseded', reason: 'NewerPromoted' },
      { Ready: 'False NewerPromoted', Stalled: 'True NewerPromoted' },
    ],
  ])('%j', (more, expected) => {
    expect(conditionsOf(projectPromotionStatus(row('v1.0.0', more), 1, undefined, start))).toEqual(expected);
  });

  test('keeps the time of its last transition, and shows what it changes and waits for', () => {
    const gating = row('v1.0.0', {
      commit,
      phase: 'Gating',
      changes: [{ workflow: 'report', action: 'Promote', to: 'sha256:1' }],
      gates: [{ gate: 'approval', open: false, message: '0 of 1 approvals.' }],
    });
    const first = projectPromotionStatus(gating, 1, undefined, start);
    expect(first).toMatchObject({
      observedGeneration: 1,
      phase: 'Gating',
      commit,
      gates: gating.gates,
      changes: gating.changes,
    });
    expect(projectPromotionStatus(gating, 1, first.conditions, later)).toEqual(first);
    const done = projectPromotionStatus(
      { ...gating, phase: 'Succeeded', finishedAt: later },
      1,
      first.conditions,
      later,
    );
    expect(done.finishedAt).toBe(new Date(later).toISOString());
    expect(done.conditions?.[0]?.lastTransitionTime).toBe(new Date(later).toISOString());
  });

  test('stays within its schema whatever was recorded', () => {
    const long = 'x'.repeat(10_000);
    const huge = row('v1.0.0', {
      message: long,
      changes: Array.from({ length: 500 }, (_, i) => ({ workflow: `w${i}`, action: 'Promote', to: 'sha256:1' })),
      gates: Array.from({ length: 100 }, () => ({ gate: 'approval', open: false, message: long })),
    });
    const valid = new Ajv({ strict: false }).compile(PromotionStatus);
    expect(valid(projectPromotionStatus(huge, 1, undefined, start))).toBe(true);
  });
});

describe('an Environment', () => {
  const view: EnvironmentView = {
    generation: 2,
    revision: 7,
    namespace: 'prod',
    suspended: false,
    sourceError: null,
    stalled: null,
    problem: null,
    active: [active('report', 'r1', 'v1.0.0', commit), active('mail', 'm1', 'v1.0.0', commit)],
    promotions: [],
    conditions: undefined,
  };
  const stalled = { reason: 'SourceNotFound', message: 'There is no source.' };

  test.each<[string, Partial<EnvironmentView>, Record<string, string>]>([
    ['quiet', {}, { Ready: 'True UpToDate' }],
    ['with something waiting', { promotions: [row('v1.1.0')] }, { Ready: 'True PromotionsWaiting' }],
    ['suspended', { suspended: true, stalled }, { Ready: 'False Suspended' }],
    [
      'stalled',
      { stalled, sourceError: { reason: 'SourceUnreachable', message: 'x' } },
      { Ready: 'False SourceNotFound', Stalled: 'True SourceNotFound' },
    ],
    [
      'that names what is not there',
      { problem: { reason: 'BranchNotFound', message: 'x' }, promotions: [row('v1.1.0')] },
      { Ready: 'False BranchNotFound', Stalled: 'True BranchNotFound' },
    ],
    [
      'cut off',
      { sourceError: { reason: 'SourceUnreachable', message: 'refused' } },
      { Ready: 'False SourceUnreachable', Reconciling: 'True SourceUnreachable' },
    ],
    [
      'whose files have a mistake',
      { sourceError: { reason: 'InvalidEnvironments', message: 'environments/dev.yaml:4:5: …' } },
      { Ready: 'False InvalidEnvironments', Stalled: 'True InvalidEnvironments' },
    ],
  ])('%s', (_, more, expected) => {
    expect(conditionsOf(projectEnvironmentStatus({ ...view, ...more }, start))).toEqual(expected);
  });

  test('shows what is active, by name, and how much waits', () => {
    const promotions = [row('v1.1.0'), row('v1.0.0', { phase: 'Succeeded' })];
    const status = projectEnvironmentStatus({ ...view, promotions }, start);
    expect(status).toMatchObject({ observedGeneration: 2, revision: 7, namespace: 'prod', waiting: 1 });
    expect(status.active?.map(({ workflow, ref }) => [workflow, ref])).toEqual([
      ['mail', 'v1.0.0'],
      ['report', 'v1.0.0'],
    ]);
  });

  test('stays within its schema whatever was recorded', () => {
    const many = Array.from({ length: 500 }, (_, i) => active(`w${i}`, 'r1', 'v1.0.0', commit));
    const promotions = Array.from({ length: 50 }, () => row('v1.0.0', { message: 'x'.repeat(5000) }));
    const valid = new Ajv({ strict: false }).compile(EnvironmentStatus);
    expect(valid(projectEnvironmentStatus({ ...view, active: many, promotions }, start))).toBe(true);
  });
});
