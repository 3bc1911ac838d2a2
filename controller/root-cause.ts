/** What failed in the end, by its own words: a driver's error is wrapped in the query that it failed. */
export function rootCause(error: unknown): string {
  let last = error;
  while (last instanceof Error && last.cause instanceof Error) last = last.cause;
  const { code, message } = last as { code?: string; message?: string };
  return message || code || String(last);
}

/** What is said of a database that was there and does not answer any more. */
export function databaseAway(error: unknown): string {
  return `the database does not answer: ${rootCause(error)}; runs go on by themselves when it is back`;
}
