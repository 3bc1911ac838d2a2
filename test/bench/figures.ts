import { cpus, loadavg } from 'node:os';

/** One measured figure beside its bar. */
export interface Figure {
  name: string;
  /** What was measured, in `unit`. */
  values: Record<string, number>;
  unit: string;
  bar: string;
  /** Null when the bar is only told, not judged here. */
  met: boolean | null;
  note?: string;
}

/** The value below which a share of the samples lies. */
export function quantile(samples: number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

export function median(samples: number[]): number {
  return quantile(samples, 0.5);
}

/** How busy the machine was, for judging a figure later. */
export function machine(): { cpus: number; model: string; load: number; node: string } {
  return { cpus: cpus().length, model: cpus()[0]?.model ?? 'unknown', load: loadavg()[0] ?? 0, node: process.version };
}

export function round(value: number): number {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return Number(value.toFixed(digits));
}

/** A table for people; the JSON beside it is for programs. */
export function table(figures: Figure[]): string {
  const rows = figures.map(({ name, values, unit, bar, met, note }) => [
    name,
    `${Object.entries(values)
      .map(([key, value]) => `${key} ${round(value)}`)
      .join(', ')} ${unit}`,
    bar,
    met === null ? '-' : met ? 'met' : 'MISSED',
    note ?? '',
  ]);
  const all = [['what', 'measured', 'bar', '', ''], ...rows];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...all.map((row) => (row[column] ?? '').length)));
  return all
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
