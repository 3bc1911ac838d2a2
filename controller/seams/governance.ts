import type { ApprovalsPolicy } from '../core/approval-trust.ts';

/** Whether an environment may own a namespace; if not, why, and what to do. */
export type NamespaceVerdict = { ok: true } | { ok: false; reason: NamespaceRefusal; message: string };

/** NamespaceForbidden: this controller may not look at it. */
export type NamespaceRefusal =
  | 'NamespaceNotFound'
  | 'NamespaceTerminating'
  | 'NamespaceNotAdmitted'
  | 'NamespaceForbidden';

/** The texts of a table, or why it cannot be read. */
export type TableTexts = { ok: true; texts: Record<string, string> } | { ok: false; message: string };

/** What the surroundings of a home say about namespaces and people; a laptop has one person and no one to ask. */
export interface Governance {
  /** Whether `namespace` agrees to be owned by an environment of `project`. @throws when it cannot be found out now */
  admits(project: string, namespace: string): Promise<NamespaceVerdict>;
  /** Calls with the name of each namespace that may answer otherwise from now on. Returns how to stop. */
  watchNamespaces(handler: (namespace: string) => void): () => void;
  /** Whether entries of `spec.approvals` can be believed at present. Never throws. */
  approvalsPolicy(): Promise<ApprovalsPolicy>;
  /**
   * A table of a project that says who is behind a git address: empty when there is none, null in a home without such
   * tables, where people go by name. @throws when it cannot be read now
   */
  identityTable(project: string, name: string): Promise<TableTexts | null>;
  /** Who, apart from this controller, wrote the spec of a Workflow as it is now; empty when nobody knows. */
  editorsOf(namespace: string, workflow: string): Promise<string[]>;
}
