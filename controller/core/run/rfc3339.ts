import type { Instant } from '../time.ts';

const form = /^(\d{4})-(\d{2})-(\d{2})[Tt](\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?)([Zz]|[+-]\d{2}:\d{2})$/;

/** An RFC 3339 instant in milliseconds; null when the text is none, or names a day that does not exist. */
export function parseInstant(text: string): Instant | null {
  const match = form.exec(text.trim());
  if (match === null) return null;
  const [, year, month, day] = match.map(Number);
  const date = new Date(Date.UTC(year ?? 0, (month ?? 0) - 1, day));
  // Date.parse rolls February 30 over into March.
  if (date.getUTCMonth() !== (month ?? 0) - 1 || date.getUTCDate() !== day) return null;
  const at = Date.parse(match[0].toUpperCase());
  return Number.isNaN(at) ? null : at;
}
