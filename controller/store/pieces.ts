/** Rows a statement: far below the 65,535 parameters that Postgres allows it. */
const rowsPerStatement = 500;

/** Cuts rows into pieces that fit one INSERT each. */
export function inPieces<T>(rows: readonly T[], size = rowsPerStatement): T[][] {
  const pieces: T[][] = [];
  for (let i = 0; i < rows.length; i += size) pieces.push(rows.slice(i, i + size));
  return pieces;
}
