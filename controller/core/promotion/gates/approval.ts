import type { Gate } from '../../../../crds/environment.ts';
import type { PromotionApproval } from '../../../../crds/promotion.ts';
import type { GateResult, Person } from '../types.ts';

type ApprovalGate = NonNullable<Gate['approval']>;

/** Enough different people approve, by name without regard to case. */
export function judgeApproval(
  gate: ApprovalGate,
  approvals: PromotionApproval[],
  authors: Person[] | null,
): GateResult {
  if (gate.notAuthor && authors === null) {
    return { gate: 'approval', open: false, message: 'It is not known yet who wrote it.' };
  }
  const counted = new Map<string, string>();
  const refused = new Map<string, string>();
  for (const approval of approvals) {
    if (approval.decision !== 'Approve') continue;
    const user = fold(approval.user);
    if (!mayDecide(gate, approval)) refused.set(user, `${approval.user} is in none of the groups`);
    else if (gate.notAuthor && isAuthor(user, authors ?? [])) refused.set(user, `${approval.user} wrote some of it`);
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
    message: `${counted.size} of ${count} approvals${asked}${given}${ignored}.`,
  };
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

function isAuthor(user: string, authors: Person[]): boolean {
  return authors.some(({ name, email }) => {
    const address = fold(email);
    return user === fold(name) || user === address || user === address.split('@')[0];
  });
}

function fold(name: string): string {
  return name.trim().toLowerCase();
}
