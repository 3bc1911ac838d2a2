const unitMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
type Unit = keyof typeof unitMs;

/** Longest duration lint accepts: a year. Longer ones are typos (`90d` written as `90000d`), not plans. */
export const maxDurationMs = 366 * unitMs.d;

/**
 * Reads `30s`, `1h30m`, `250ms`, `7d` as milliseconds. Units may repeat and come in any order; they are summed.
 * @throws RangeError when the text is not such a duration; the schema has already refused it in objects.
 */
export function parseDuration(text: string): number {
  if (!/^([0-9]{1,9}(ms|s|m|h|d))+$/.test(text)) {
    throw new RangeError(`"${text}" is not a duration such as 30s, 1h30m or 7d`);
  }
  let total = 0;
  for (const [, digits, unit] of text.matchAll(/([0-9]+)(ms|s|m|h|d)/g)) {
    total += Number(digits) * unitMs[unit as Unit];
  }
  return total;
}

/** Writes milliseconds as `1d2h`, `1h30m`, `250ms`, with the largest units first; `0s` for zero. Fractions are cut. */
export function formatDuration(ms: number): string {
  let rest = Math.trunc(Math.abs(ms));
  let text = '';
  for (const unit of ['d', 'h', 'm', 's', 'ms'] as const) {
    const count = Math.floor(rest / unitMs[unit]);
    if (count > 0) text += `${count}${unit}`;
    rest -= count * unitMs[unit];
  }
  return text === '' ? '0s' : ms < 0 ? `-${text}` : text;
}
