import type { Identity } from './dependencies.ts';
import { RequestProblem } from './errors.ts';
import type { Decision } from './resources/promotion.ts';

interface Entry {
  user: string;
  groups?: string[];
  decision: 'Approve' | 'Reject';
  comment?: string;
}

/** Most entries that the schema of Promotion and WorkflowRun takes. */
const maxEntries = 100;

/** What the caller decides. The group `*` stands for every group, so for those that are asked for. */
export function approvalEntry(
  identity: Identity,
  decision: Entry['decision'],
  { as, comment }: Decision,
  askedFor: string[],
): Entry {
  const groups = identity.groups.includes('*') ? [...new Set(askedFor)].slice(0, 100) : identity.groups;
  return {
    user: as ?? identity.user,
    ...(groups.length > 0 ? { groups } : {}),
    decision,
    ...(comment === undefined ? {} : { comment }),
  };
}

/**
 * One entry a person: a new decision takes the place of the old.
 * @throws RequestProblem 409 when there are too many.
 */
export function withEntry<E extends Entry>(entries: E[], entry: E, isSame: (other: E) => boolean): E[] {
  const next = [...entries.filter((other) => !(other.user === entry.user && isSame(other))), entry];
  if (next.length > maxEntries) throw new RequestProblem('conflict', `There are ${maxEntries} decisions already.`);
  return next;
}
