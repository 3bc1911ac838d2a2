import type { Logger } from 'pino';
import { GitError } from '../git/errors.ts';
import { AttemptHeld } from '../seams/executor.ts';
import { ObjectConflict, ObjectRefused } from '../seams/objects.ts';

/** What keeps things from being done, in the log: once for each reason, however often it is tried, until it is over. */
export interface Troubles {
  /** `key` could not be done, and will be tried again. */
  failed(key: string, fields: object, error: unknown): void;
  /** `key` was done, or nobody wants it any more. */
  over(key: string): void;
}

/** Keys that fail at the same time. Of more than these, some are told of again. */
const maxKeys = 10_000;

/** `trouble`, `over`: what is said when a key fails, and when it no longer does. */
export function createTroubles(log: Logger, said: { trouble: string; over: string }): Troubles {
  const reasons = new Map<string, string>();
  return {
    failed(key, fields, error) {
      const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
      // How full a quota is, or which try it was, is no other reason.
      const reason = message.replace(/\d+/g, '#');
      const isNew = reasons.get(key) !== reason;
      reasons.delete(key);
      reasons.set(key, reason);
      const [oldest] = reasons.keys();
      if (reasons.size > maxKeys && oldest !== undefined) reasons.delete(oldest);
      const what = isRefused(error) ? { reason: error.message } : { err: error };
      log[isNew ? 'warn' : 'debug']({ ...fields, ...what }, said.trouble);
    },
    over(key) {
      if (reasons.delete(key)) log.info({ key }, said.over);
    },
  };
}

/** Refused by the world in words that say all there is to know: where in the program that was is of no use to anybody. */
function isRefused(error: unknown): error is Error {
  return [AttemptHeld, ObjectRefused, ObjectConflict, GitError].some((known) => error instanceof known);
}
