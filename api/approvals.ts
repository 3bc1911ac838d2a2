import type { Caller } from './access.ts';
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

/** Most groups that an entry may name. */
const maxGroups = 100;

/**
 * What the caller decides, with the caller's groups, those that are asked for first. The group `*` stands for every group,
 * so for those that are asked for; only whoever holds it may speak in another's name.
 * @throws RequestProblem 403 when `as` is another person
 */
export function approvalEntry(
  caller: Pick<Caller, 'user' | 'groups'>,
  decision: Entry['decision'],
  { as, comment }: Decision,
  askedFor: string[],
): Entry {
  const everyone = caller.groups.includes('*');
  if (as !== undefined && as !== caller.user && !everyone) {
    throw new RequestProblem('forbidden', `${caller.user} decides as ${caller.user} only: \`as\` is for a laptop.`);
  }
  const asked = askedFor.filter((group) => everyone || caller.groups.includes(group));
  const groups = [...new Set(everyone ? asked : [...asked, ...caller.groups])].slice(0, maxGroups);
  return {
    user: as ?? caller.user,
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
