import { bigint, customType } from 'drizzle-orm/pg-core';

/** Raw bytes; both drivers take and give Uint8Array. */
export const bytea = customType<{ data: Uint8Array; driverData: Uint8Array }>({ dataType: () => 'bytea' });

/** A transaction's 64-bit id, by which a poll finds what was committed since the last one. */
export const xid8 = customType<{ data: string; driverData: string }>({ dataType: () => 'xid8' });

/** Milliseconds since the epoch, exactly as the core counts them: no driver turns them into dates and back. */
export function instant(name: string) {
  return bigint(name, { mode: 'number' });
}

/** The item of what is no item of a forEach, as core/run/types.ts has it: of core, only types may be imported here. */
export const wholeStep = -1;
