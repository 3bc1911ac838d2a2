import { sha256Hex } from './digest.ts';
import type { Instant } from './time.ts';

/** What makes the entries of `spec.approvals` worth believing, as it is at the moment of a look. */
export type ApprovalsPolicy =
  /** One person writes everything. */
  | { state: 'Unneeded' }
  /** `identity`: another one whenever it was changed or made anew. `since`: unchanged since then; null: nobody knows. */
  | { state: 'InForce'; identity: string; since: Instant | null }
  | { state: 'NotInForce'; message: string }
  /** It cannot be found out at present: nothing counts, and nothing is decided for good. */
  | { state: 'Unknown'; message: string };

/** A policy in force, and since when this home knows. */
export interface ApprovalsGuard {
  identity: string;
  /** Whatever is made from then on was never without it. */
  from: Instant;
  /** Whether whatever is written from now on is under it. */
  settled: boolean;
}

/** What is kept of the looks at the entries of one object. */
export interface ApprovalLook {
  /** The policy that was in force at the last look; null: none, or it came into force only then. */
  policy: string | null;
  /** By digest of the entry: whether it is believed. */
  entries: Record<string, boolean>;
}

export interface WrittenEntry {
  user: string;
  decision: 'Approve' | 'Reject';
}

export interface JudgedEntries<E> {
  believed: E[];
  doubted: E[];
  /** What is to be kept. */
  look: ApprovalLook;
}

/** API servers enforce a policy about a second after it is written, and say nowhere that they do. */
export const settleMs = 5000;

/** `firstSeenAt`: when this home saw that policy first. */
export function guardOf(
  { identity, since }: Extract<ApprovalsPolicy, { state: 'InForce' }>,
  firstSeenAt: Instant,
  now: Instant,
): ApprovalsGuard {
  return { identity, from: (since ?? firstSeenAt) + settleMs, settled: now >= firstSeenAt + settleMs };
}

/**
 * Which entries of an object are believed: those that appeared while one policy was in force without a break. What was decided
 * about an entry stays for as long as it is there. `guard`: null while no policy is in force.
 */
export function judgeEntries<E extends WrittenEntry>(
  { createdAt, entries }: { createdAt: Instant; entries: readonly E[] },
  before: ApprovalLook | null,
  guard: ApprovalsGuard | null,
): JudgedEntries<E> {
  const guarded = guard !== null && (before?.policy === guard.identity || createdAt >= guard.from);
  const known = new Map(Object.entries(before?.entries ?? {}));
  const judged = entries.map((entry) => {
    const digest = entryDigest(entry);
    return { entry, digest, believed: known.get(digest) ?? guarded };
  });
  return {
    believed: judged.filter(({ believed }) => believed).map(({ entry }) => entry),
    doubted: judged.filter(({ believed }) => !believed).map(({ entry }) => entry),
    look: {
      policy: guard !== null && (guarded || guard.settled) ? guard.identity : null,
      entries: Object.fromEntries(judged.map(({ digest, believed }) => [digest, believed])),
    },
  };
}

/** Whether two looks say the same. */
export function isSameLook(a: ApprovalLook, b: ApprovalLook): boolean {
  const [known, other] = [Object.entries(a.entries), new Map(Object.entries(b.entries))];
  return (
    a.policy === b.policy &&
    known.length === other.size &&
    known.every(([digest, believed]) => other.get(digest) === believed)
  );
}

/** Why these do not count, and what to do; null when there are none. `wait`: what is written at once would not count either. */
export function doubtMessage(doubted: readonly WrittenEntry[], wait = false): string | null {
  if (doubted.length === 0) return null;
  const said = [...new Set(doubted.map(({ user, decision }) => `${user}'s ${nouns[decision]}`))];
  const some = said.length > 5 ? [...said.slice(0, 5), `${said.length - 5} more`] : said;
  const verbs = new Set(doubted.map(({ decision }) => decision.toLowerCase()));
  const [was, it] = said.length === 1 ? ['was', 'it'] : ['were', 'them'];
  const again = `${wait ? `wait ${(2 * settleMs) / 1000} s and ` : ''}${[...verbs].join(' or ')} again`;
  return `${some.join(', ')} ${was} written while the policy was not in force, or not known to be: remove ${it} and ${again}`;
}

const nouns = { Approve: 'approval', Reject: 'rejection' };

/** Of everything an entry says, in whichever order its fields are. */
function entryDigest(entry: object): string {
  const fields = Object.entries(entry).sort(([a], [b]) => (a < b ? -1 : 1));
  return sha256Hex(new TextEncoder().encode(JSON.stringify(fields)));
}
