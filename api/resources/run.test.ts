import { expect, test } from 'vitest';
import { attemptRow, stepRow } from '../../test/fixtures/history.ts';
import { stepResource } from './run.ts';

const of = (row: Parameters<typeof stepRow>[2], attempts: Parameters<typeof attemptRow>[2][] = []) =>
  stepResource(
    { name: 'a', run: 'x' },
    'main',
    stepRow('run-1', 'a', row),
    attempts.map((attempt) => attemptRow('run-1', 'a', attempt)),
    {},
    null,
  );

test.each([
  ['skip after two that did something', { phase: 'Skipped', reason: 'Fallback', via: 'fallback[1]' }, 'fallback[2]'],
  ['skip at once', { phase: 'Skipped', reason: 'Fallback', via: 'main' }, 'fallback[0]'],
  [
    'fail',
    { phase: 'Failed', via: 'main', error: { type: 'fallback', message: 'x', retryable: false } },
    'fallback[0]',
  ],
  ['a fallback that did something', { phase: 'Succeeded', via: 'fallback[1]' }, 'fallback[1]'],
] as const)('a step that was ended by %s says by which fallback', (_, row, via) => {
  expect(of(row).via).toBe(via);
});

test('a step whose attempt was told to end says so during its grace', () => {
  expect(of({ phase: 'Running', reason: null }, [{ phase: 'Stopping' }]).reason).toBe('Stopping');
  expect(of({ phase: 'Running', reason: null }, [{ phase: 'Starting' }]).reason).toBeNull();
});
