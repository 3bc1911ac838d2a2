import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { promotionName } from './name.ts';

const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

describe('promotionName', () => {
  test('is readable', () => {
    expect(promotionName('prod', 'v1.4.0', 'a'.repeat(40))).toMatch(/^prod-v1\.4\.0-[0-9a-f]{8}$/);
    expect(promotionName('prod', 'nightly-report/v1.4.0-RC.1', 'a'.repeat(40))).toMatch(
      /^prod-nightly-report-v1\.4\.0-rc\.1-[0-9a-f]{8}$/,
    );
    expect(promotionName('dev', 'ab'.repeat(20), 'ab'.repeat(20))).toMatch(/^dev-abababababab-[0-9a-f]{8}$/);
  });

  test('tells apart what reads the same', () => {
    const commit = 'a'.repeat(40);
    expect(promotionName('prod', 'a/v1.0.0', commit)).not.toBe(promotionName('prod', 'a-v1.0.0', commit));
    expect(promotionName('prod', 'v1.0.0', commit)).not.toBe(promotionName('prod', 'v1.0.0', 'b'.repeat(40)));
    expect(promotionName('prod', 'v1.0.0', commit)).toBe(promotionName('prod', 'v1.0.0', commit));
  });

  test('is a valid name for any ref', () => {
    const label = fc.stringMatching(/^[a-z0-9]([-a-z0-9]{0,60}[a-z0-9])?$/);
    const environment = fc.array(label, { minLength: 1, maxLength: 3 }).map((labels) => labels.join('.'));
    const ref = fc.oneof(fc.string({ unit: 'binary', maxLength: 300 }), fc.stringMatching(/^[-a-zA-Z0-9./+_]{0,250}$/));
    fc.assert(
      fc.property(environment, ref, fc.stringMatching(/^[0-9a-f]{40}$/), (name, tag, commit) => {
        const result = promotionName(name, tag, commit);
        expect(result.length).toBeLessThanOrEqual(253);
        expect(result).toMatch(subdomain);
      }),
    );
  });
});
