/** What failed in the end, by its own words: a driver's error is wrapped in the query that it failed. */
export function rootCause(error: unknown): string {
  const { code, message } = innermost(error);
  return message || code || String(error);
}

/** Where a database is, as people know it; null when its URL does not say so in one name. */
export function databaseHost(url: string): string | null {
  return (URL.canParse(url) && new URL(url).host) || null;
}

/**
 * What is said of a database that was there and cannot be used any more. An outage has many words, by how a connection
 * ended or was not made, and whether the server is on its way out or in: it is one reason all the same.
 */
export function databaseAway(error: unknown, host: string | null): string {
  const { code = '' } = innermost(error);
  const what = `the database${host === null ? '' : ` at ${host}`}`;
  const why = silent.test(code) ? `${what} does not answer` : `${what} cannot be used: ${rootCause(error)}`;
  return `${why}; runs go on by themselves when it is back`;
}

/** Codes of the network, of the driver and (08: connection, 57P: shutdown and start) of the server. */
const silent = /^(ECONN|EHOST|ENET|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_|CONNECTION_|CONNECT_TIMEOUT|08\w{3}$|57P0[1-3]$)/;

function innermost(error: unknown): { code?: string; message?: string } {
  let last = error;
  while (last instanceof Error && last.cause instanceof Error) last = last.cause;
  return last as { code?: string; message?: string };
}
