import { environmentKind, type Environment } from './environment.ts';
import type { KindDefinition } from './metadata.ts';
import { promotionKind, type Promotion } from './promotion.ts';
import { workflowKind, type Workflow } from './workflow.ts';
import { workflowRunKind, type WorkflowRun } from './workflow-run.ts';
import { workflowSourceKind, type WorkflowSource } from './workflow-source.ts';

/** Every kind, by name. */
export interface ObjectByKind {
  Workflow: Workflow;
  WorkflowRun: WorkflowRun;
  WorkflowSource: WorkflowSource;
  Environment: Environment;
  Promotion: Promotion;
}
export type Kind = keyof ObjectByKind;

export const kinds: Record<Kind, KindDefinition> = {
  Workflow: workflowKind,
  WorkflowRun: workflowRunKind,
  WorkflowSource: workflowSourceKind,
  Environment: environmentKind,
  Promotion: promotionKind,
};

/** Finds a kind by any of its names (kind, plural, singular, short name), case-insensitively. */
export function findKind(word: string): Kind | undefined {
  const wanted = word.toLowerCase();
  return (Object.keys(kinds) as Kind[]).find((kind) => {
    const d = kinds[kind];
    return (
      kind.toLowerCase() === wanted || d.plural === wanted || d.singular === wanted || d.shortNames.includes(wanted)
    );
  });
}
