import { describe, expect, test } from 'vitest';
import type { EnvironmentResource, PromotionSummary, SourceResource } from '../api/client.ts';
import { type Found, newestRefused, whyNone } from './announce.ts';

const tip = 'a'.repeat(40);
const earlier = 'b'.repeat(40);

function found(more: Partial<Found> = {}): Found {
  const source = { name: 'repo', branch: 'main', commit: tip, conditions: [] as SourceResource['conditions'] };
  return {
    source: source as unknown as SourceResource,
    environments: [environment()],
    workflows: [],
    promotions: [],
    ...more,
  };
}

function environment(more: Partial<EnvironmentResource> = {}): EnvironmentResource {
  const spec = { source: { name: 'repo' }, track: { branch: 'main' } };
  return { name: 'dev', spec, conditions: [], ...more } as unknown as EnvironmentResource;
}

function promotion(more: Partial<PromotionSummary>): PromotionSummary {
  const rejected = { environment: 'dev', ref: tip, commit: tip, phase: 'Rejected', reason: 'InvalidRef' };
  return { ...rejected, automatic: true, message: null, ...more } as PromotionSummary;
}

const condition = (reason: string) =>
  ({ type: 'Ready', status: 'False', reason, message: 'so it is.' }) as EnvironmentResource['conditions'][number];

describe('that no workflow is active is for one reason', () => {
  test('the tree at the tip has none', () => {
    const promotions = [promotion({ reason: 'NoWorkflows' })];
    expect(whyNone(found({ promotions }))).toEqual({ empty: true, why: '' });
  });

  test.each<[string, Partial<Found>, string]>([
    [
      'an earlier tree had none',
      { promotions: [promotion({ ref: earlier, commit: earlier, reason: 'NoWorkflows' })] },
      'No ref is a candidate: dev takes branch main',
    ],
    [
      'the branch is not there',
      { environments: [environment({ conditions: [condition('BranchNotFound')] })] },
      'Environment dev: BranchNotFound: so it is.',
    ],
    [
      'it waits',
      { promotions: [promotion({ phase: 'Gating', message: 'approval: 0 of 1.' })] },
      'aaaaaaaaaaaa waits for dev: approval: 0 of 1.',
    ],
    ['a refusal, which is told by itself', { promotions: [promotion({})] }, ''],
  ])('%s', (_, more, why) => {
    const said = whyNone(found(more));
    expect(said.empty).toBe(false);
    expect(said.why).toEqual(why === '' ? '' : expect.stringContaining(`No workflow is active yet. ${why}`));
  });
});

describe('a refusal', () => {
  const refused = (more: Partial<PromotionSummary>) => newestRefused(found({ promotions: [promotion(more)] })).length;

  test('is told while it is the newest', () => {
    expect(refused({})).toBe(1);
    expect(refused({ ref: 'v1.0.0', automatic: false })).toBe(1);
  });

  test('is not told again once the branch has gone on', () => {
    expect(refused({ ref: earlier, commit: earlier })).toBe(0);
    expect(newestRefused(found({ promotions: [promotion({ phase: 'Succeeded' }), promotion({})] }))).toEqual([]);
  });
});
