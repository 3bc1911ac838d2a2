import type { Path, Problem } from './position.ts';

/** Deepest nesting of anything that is stored. */
export const maxDepth = 64;

/** Why a number cannot be kept exactly, or null. `source` is how it was written, if known. */
export function checkNumber(value: number, source?: string): string | null {
  if (!Number.isFinite(value)) return `${source ?? value} is no number that JSON can hold; quote it if it is text`;
  const exact = source !== undefined && /^[-+]?[0-9]+$/.test(source) ? BigInt(source.replace('+', '')) : null;
  const unsafe = exact === null ? Number.isInteger(value) && !Number.isSafeInteger(value) : exact > max || exact < -max;
  return unsafe ? `${source ?? value} is beyond ±(2^53-1) and would be rounded; quote it` : null;
}

const max = BigInt(Number.MAX_SAFE_INTEGER);

/** What keeps a value from being stored: depth, numbers that lose digits, text that is no Unicode or has NUL. */
export function checkStorable(value: unknown, path: Path = []): Problem[] {
  if (path.length >= maxDepth) {
    return [{ path, rule: 'depth', message: `nested deeper than ${maxDepth} levels` }];
  }
  if (typeof value === 'string') return checkText(value, path, 'value');
  if (typeof value === 'number') {
    const message = checkNumber(value);
    return message === null ? [] : [{ path, rule: 'number-range', message }];
  }
  if (typeof value !== 'object' || value === null) return [];
  if (Array.isArray(value)) return value.flatMap((item, i) => checkStorable(item, [...path, i]));
  return Object.entries(value).flatMap(([key, item]) => [
    ...checkText(key, [...path, key], 'key'),
    ...checkStorable(item, [...path, key]),
  ]);
}

function checkText(text: string, path: Path, at: 'key' | 'value'): Problem[] {
  if (text.includes('\0')) return [{ path, at, rule: 'text-nul', message: 'text must not contain a NUL character' }];
  if (!text.isWellFormed()) return [{ path, at, rule: 'text-unicode', message: 'text has half of a surrogate pair' }];
  return [];
}
