/** The data directory is held by a live process. */
export class DataDirectoryInUse extends Error {
  override name = 'DataDirectoryInUse';
  readonly pid: number;
  constructor(directory: string, lockFile: string, pid: number) {
    super(
      `${directory} is in use by process ${pid}. Stop that process or choose another data directory; ` +
        `if process ${pid} is not a windlass controller, remove ${lockFile}`,
    );
    this.pid = pid;
  }
}

/** The database refused the data of one run: that run has been ended Failed `infrastructure/unstorable`; hydrate it again. */
export class Unstorable extends Error {
  override name = 'Unstorable';
}

/** A page's `after` was not made by this API: the caller's mistake. */
export class InvalidCursor extends Error {
  override name = 'InvalidCursor';
}

/** The SQLSTATE of a failed query, whether the driver's error came bare or wrapped by drizzle; null for other errors. */
export function sqlState(error: unknown): string | null {
  for (let e = error; e instanceof Error; e = e.cause) {
    const code = 'code' in e ? e.code : undefined;
    if (typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code)) return code;
  }
  return null;
}

/** True when the data itself is refused (classes 21, 22, 23, 54), so that asking again cannot help. */
export function isDataError(error: unknown): boolean {
  return /^(21|22|23|54)/.test(sqlState(error) ?? '');
}
