import type { Gate } from '../../../../crds/environment.ts';
import type { PromotionApproval } from '../../../../crds/promotion.ts';
import { fold, type Identities, identityTableName } from '../identities.ts';
import type { GateResult, Person, PromotionFact, PromotionFacts } from '../types.ts';

type ApprovalGate = NonNullable<Gate['approval']>;

/** Enough different people approve, by name without regard to case. */
export function judgeApproval(
  gate: ApprovalGate,
  { approvals, doubts, authors }: Pick<PromotionFact, 'approvals' | 'doubts' | 'authors'>,
  { approvalsHeld, identities }: Pick<PromotionFacts, 'approvalsHeld' | 'identities'>,
): GateResult {
  if (approvalsHeld !== null) return held(approvalsHeld);
  if (gate.notAuthor && authors === null) return held('It is not known yet who wrote it.');
  const unknown = gate.notAuthor ? unknownAuthors(authors ?? [], identities) : null;
  if (unknown !== null) return held(unknown);
  const counted = new Map<string, string>();
  const refused = new Map<string, string>();
  for (const approval of approvals) {
    if (approval.decision !== 'Approve') continue;
    const user = fold(approval.user);
    if (!mayDecide(gate, approval)) refused.set(user, `${approval.user} is in none of the groups`);
    else if (gate.notAuthor && isAuthor(user, authors ?? [], identities))
      refused.set(user, `${approval.user} wrote some of it`);
    else counted.set(user, approval.user);
  }
  const count = gate.count ?? 1;
  const open = counted.size >= count;
  const asked = gate.groups ? ` from ${gate.groups.join(', ')}` : '';
  const given = counted.size === 0 ? '' : ` (${[...counted.values()].join(', ')})`;
  const without = [...refused].filter(([user]) => !counted.has(user)).map(([, why]) => why);
  const ignored = without.length === 0 ? '' : `; not counted: ${without.join('; ')}`;
  return {
    gate: 'approval',
    open,
    message: `${counted.size} of ${count} approvals${asked}${given}${ignored}${doubts === null ? '' : `; ${doubts}`}.`,
  };
}

function held(message: string): GateResult {
  return { gate: 'approval', open: false, message };
}

/** Whoever maps to nobody may be any of the approvers, so that no approval counts while there is one. */
function unknownAuthors(authors: Person[], identities: Identities | null): string | null {
  if (identities === null) return null;
  const where = `ConfigMap ${identityTableName} of the project's namespace`;
  if (identities.problem !== null) return `Nobody can be told from the authors: ${where}: ${identities.problem}.`;
  const nobody = [...new Set(authors.map(({ email }) => fold(email)))].filter((email) => !identities.users.has(email));
  if (nobody.length === 0) return null;
  const some = `${nobody.slice(0, 5).join(', ')}${nobody.length > 5 ? ` and ${nobody.length - 5} more` : ''}`;
  return `${some} wrote some of it and may be any approver: say in ${where} which user that is.`;
}

/**
 * The first person who said no and may: someone in the groups of any approval gate. Where no gate names groups, or there
 * is no approval gate at all, everyone who can write an entry may.
 */
export function rejectionOf(gates: Gate[], approvals: PromotionApproval[]): PromotionApproval | undefined {
  const approvalGates = gates.flatMap((gate) => (gate.approval ? [gate.approval] : []));
  return approvals.find(
    (approval) =>
      approval.decision === 'Reject' &&
      (approvalGates.length === 0 || approvalGates.some((gate) => mayDecide(gate, approval))),
  );
}

function mayDecide(gate: ApprovalGate, approval: PromotionApproval): boolean {
  return gate.groups === undefined || gate.groups.some((group) => approval.groups?.includes(group));
}

function isAuthor(user: string, authors: Person[], identities: Identities | null): boolean {
  return authors.some(({ name, email }) => {
    const address = fold(email);
    if (identities !== null) return user === fold(identities.users.get(address) ?? user);
    return user === fold(name) || user === address || user === address.split('@')[0];
  });
}
