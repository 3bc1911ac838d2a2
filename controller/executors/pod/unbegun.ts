import type { Instant } from '../../core/time.ts';
import { NotSent } from '../../kubernetes/errors.ts';
import type { Clock } from '../../seams/clock.ts';
import { hashOf } from './names.ts';
import type { Pod } from './pod.ts';

/** Within this time of a request that was not answered it is sent again: it has the same name, and begins nothing twice. */
const doubtMs = 60_000;

interface Refused {
  /** UID of the object that would own its Pod; null: others may begin it by now. */
  owner: string | null;
  /** When its Pod was first asked for without an answer. */
  doubtedAt: Instant | null;
}

/**
 * Attempts that surely have not begun, as whatever was asked for them was refused: they may begin at any age. One whose Pod
 * was asked for without an answer may be asked for again for a minute; one whose Pod was seen, never. By `attemptHash`.
 */
export class Unbegun {
  readonly #clock: Pick<Clock, 'now'>;
  readonly #refused = new Map<string, Refused>();

  constructor(clock: Pick<Clock, 'now'>) {
    this.#clock = clock;
  }

  has(hash: string): boolean {
    const refused = this.#refused.get(hash);
    if (!refused || refused.owner === null) return false;
    return refused.doubtedAt === null || this.#clock.now() - refused.doubtedAt < doubtMs;
  }

  /** It was refused, unless an earlier request may have begun it. */
  add(hash: string, owner: string): void {
    if (!this.#refused.has(hash)) this.#refused.set(hash, { owner, doubtedAt: null });
  }

  /** Its Pod was asked for, and nobody knows whether it is there. */
  doubt(hash: string, owner: string): void {
    const now = this.#clock.now();
    for (const [old, { doubtedAt }] of this.#refused) {
      // As long as it could be begun by its age alone.
      if (doubtedAt !== null && now - doubtedAt > 2 * doubtMs) this.#refused.delete(old);
    }
    const doubtedAt = this.#refused.get(hash)?.doubtedAt ?? now;
    this.#refused.set(hash, { owner, doubtedAt });
  }

  /** A Pod that is there, or was. */
  seen(pod: Pod): void {
    const hash = hashOf(pod);
    const owner = this.#refused.get(hash)?.owner ?? null;
    if (owner !== null && pod.metadata.ownerReferences?.some(({ uid }) => uid === owner)) this.#refused.delete(hash);
  }

  forget(hash: string): void {
    this.#refused.delete(hash);
  }

  /** Others may begin them from now on. */
  clear(): void {
    for (const [hash, refused] of this.#refused) {
      if (refused.doubtedAt === null) this.#refused.delete(hash);
      else refused.owner = null;
    }
  }
}

/** Whether a request that failed surely never reached the API server: no connection was made. */
export function isUnsent(error: unknown): boolean {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    if (at instanceof NotSent) return true;
    const { code, syscall } = at as NodeJS.ErrnoException;
    if (syscall === 'connect' || syscall === 'getaddrinfo') return true;
    if (code === 'ECONNREFUSED' || code === 'UND_ERR_CONNECT_TIMEOUT') return true;
  }
  return false;
}
