import type { Instant } from '../../core/time.ts';
import type { Clock } from '../../seams/clock.ts';
import { hashOf } from './names.ts';
import type { Pod } from './pod.ts';

/** As long as an attempt may be begun by its age alone; what was in doubt then is never begun later. */
const doubtMs = 60_000;

/**
 * Attempts that surely have not begun, as whatever was asked for them was refused: they may begin at any age. Of one
 * whose Pod was asked for without an answer, or was seen, that is not said any more. By `attemptHash`.
 */
export class Unbegun {
  readonly #clock: Pick<Clock, 'now'>;
  /** With the UID of the object that would own its Pod. */
  readonly #owners = new Map<string, string>();
  readonly #doubtedAt = new Map<string, Instant>();

  constructor(clock: Pick<Clock, 'now'>) {
    this.#clock = clock;
  }

  has(hash: string): boolean {
    return this.#owners.has(hash);
  }

  /** It was refused, unless an earlier request may have begun it. */
  add(hash: string, owner: string): void {
    if (!this.#doubtedAt.has(hash)) this.#owners.set(hash, owner);
  }

  /** Its Pod was asked for, and nobody knows whether it is there. */
  doubt(hash: string): void {
    const now = this.#clock.now();
    for (const [old, at] of this.#doubtedAt) if (now - at > doubtMs) this.#doubtedAt.delete(old);
    this.#owners.delete(hash);
    this.#doubtedAt.set(hash, now);
  }

  /** A Pod that is there, or was. */
  seen(pod: Pod): void {
    const hash = hashOf(pod);
    const owner = this.#owners.get(hash);
    if (owner === undefined || !pod.metadata.ownerReferences?.some(({ uid }) => uid === owner)) return;
    this.#owners.delete(hash);
  }

  forget(hash: string): void {
    this.#owners.delete(hash);
    this.#doubtedAt.delete(hash);
  }

  /** Others may begin them from now on. */
  clear(): void {
    this.#owners.clear();
  }
}

/** Whether a request that failed surely never reached the API server: no connection was made. */
export function isUnsent(error: unknown): boolean {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    const { code, syscall } = at as NodeJS.ErrnoException;
    if (syscall === 'connect' || syscall === 'getaddrinfo') return true;
    if (code === 'ECONNREFUSED' || code === 'UND_ERR_CONNECT_TIMEOUT') return true;
  }
  return false;
}
