import { ExpressionError } from './types.ts';

/** Longest expression, in characters. */
export const maxSourceLength = 4096;
/** Longest list an expression may build or walk. */
export const maxListLength = 10_000;
/** Most one expression may cost, checked before a run from the schemas and during it from the values. */
export const maxCost = 1_000_000;
/** Largest result of one template, in bytes of UTF-8. */
const maxResultBytes = 1024 * 1024;

/** What one evaluation has used so far. */
export interface Meter {
  cost: number;
  bytes: number;
}

/** Thrown when a limit is reached. `||`, `&&`, `all` and `exists` forgive other errors, never this one. */
export class LimitError extends ExpressionError {}

/** @throws LimitError */
export function spend(meter: Meter, cost: number): void {
  meter.cost += cost;
  if (meter.cost > maxCost) throw new LimitError(`it costs more than ${maxCost} operations; work on shorter lists`);
}

/** Charged by functions that read a whole string: long texts inside macros must cost what they take. */
export function spendText(meter: Meter, length: number): void {
  if (length > 64) spend(meter, length >> 6);
}

/** @throws LimitError */
export function limitList<T>(list: T[]): T[] {
  if (list.length > maxListLength)
    throw new LimitError(`a list has ${list.length} elements, more than ${maxListLength}`);
  return list;
}

/** @throws LimitError when a text of this many UTF-16 units would be larger than any result may be. */
export function limitText(length: number): void {
  if (length > maxResultBytes) throw new LimitError(`a text is larger than ${maxResultBytes} bytes`);
}

/** @throws LimitError */
export function spendBytes(meter: Meter, bytes: number): void {
  meter.bytes += bytes;
  if (meter.bytes > maxResultBytes) throw new LimitError(`the result is larger than ${maxResultBytes} bytes`);
}

/** Bytes of a text in UTF-8. */
export function utf8Length(text: string): number {
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    // A surrogate is half of a 4-byte character, so 2 each; other units from U+0800 are 3.
    if (unit > 0x7f) bytes += unit > 0x7ff && (unit < 0xd800 || unit > 0xdfff) ? 2 : 1;
  }
  return bytes;
}
