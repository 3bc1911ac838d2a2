import { stripVTControlCharacters } from 'node:util';

const gap = '   ';

/** Aligned columns, heads in the first line. The last column is not padded, so that lines end where their text ends. */
export function formatTable(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  return formatColumns([heads, ...rows]);
}

/** Aligned columns without heads. */
export function formatColumns(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, widthOf(cell));
  }
  return rows.map((row) => `${formatRow(row, widths)}\n`).join('');
}

function formatRow(row: readonly string[], widths: readonly number[]): string {
  return row
    .map((cell, i) => (i === row.length - 1 ? cell : cell + ' '.repeat((widths[i] ?? 0) - widthOf(cell))))
    .join(gap)
    .trimEnd();
}

/** In characters, colours not counted. */
function widthOf(text: string): number {
  return Array.from(stripVTControlCharacters(text)).length;
}
