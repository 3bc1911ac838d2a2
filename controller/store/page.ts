import { InvalidCursor } from './errors.ts';
import type { Page } from './types.ts';

/** Where a page ended: the instant and the id of its last row. */
export interface Cursor {
  at: number;
  id: string;
}

/** @throws InvalidCursor when `after` was not made by `page`. */
export function readCursor(after: string): Cursor {
  const match = /^(-?\d{1,15})~(.+)$/s.exec(Buffer.from(after, 'base64url').toString('utf8'));
  if (!match?.[1] || !match[2] || match[2].includes('\0')) throw new InvalidCursor(`not a cursor: ${after}`);
  return { at: Number(match[1]), id: match[2] };
}

/** Makes a page of rows that were read with a limit of one more than asked for. */
export function page<T>(rows: T[], limit: number, cursor: (row: T) => Cursor): Page<T> {
  const items = rows.slice(0, limit);
  const last = items.at(-1);
  if (rows.length <= limit || last === undefined) return { items, next: null };
  const { at, id } = cursor(last);
  return { items, next: Buffer.from(`${at}~${id}`).toString('base64url') };
}

/** A cursor's id where ids are numbers; anything else is past the end. */
export function numericId({ id }: Cursor): number {
  return /^\d{1,15}$/.test(id) ? Number(id) : 0;
}
