import type { ApprovalLook } from '../core/approval-trust.ts';
import type { Instant } from '../core/time.ts';

/** What was decided about entries of `spec.approvals`, by UID of the object. */
export interface ApprovalLooks {
  /** When this home saw a policy in force first; `now`, when it did not before. */
  policySeen(identity: string, now: Instant): Promise<Instant>;
  /** The last look that was kept, and its number; null: none. */
  get(uid: string): Promise<{ look: ApprovalLook; revision: number } | null>;
  /** Keeps a look that was made after the one of this number (0: none); false when another was kept meanwhile. */
  put(uid: string, look: ApprovalLook, after: number): Promise<boolean>;
  /** Of objects that are gone, or have ended. */
  forget(uids: string[]): Promise<void>;
}
