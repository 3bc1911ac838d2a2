import type { Condition } from '../../crds/metadata.ts';
import type { WorkflowSourceStatus } from '../../crds/workflow-source.ts';
import { type Assertion, nextConditions } from './conditions.ts';
import { shortRef } from './short.ts';
import type { Instant } from './time.ts';

/** How a source stands. */
export type SourceStanding =
  | { type: 'Suspended' }
  /** Lint refuses its spec. */
  | { type: 'Invalid'; message: string }
  | { type: 'Fetched'; message: string }
  /** It was fetched, and its environment files are wrong. */
  | { type: 'InvalidEnvironments'; message: string }
  /** It could not be fetched; `stalled`: trying again does not help. */
  | { type: 'NotFetched'; reason: string; message: string; stalled: boolean };

/** Of a source and all that comes from it, while one of its environment files has a mistake. */
export const invalidEnvironments = 'InvalidEnvironments';
/** How many of its tags that name nothing to promote the status has. */
const maxRefused = 50;

/** The status of a source. */
export function projectSourceStatus(
  standing: SourceStanding,
  view: {
    generation: number;
    conditions: Condition[] | undefined;
    /** The request to reconcile that this answers. */
    handled: string | undefined;
    commit: string | null;
    refused: NonNullable<WorkflowSourceStatus['refused']>;
  },
  now: Instant,
): WorkflowSourceStatus {
  const { generation, conditions, handled, commit, refused } = view;
  return {
    observedGeneration: generation,
    ...(commit ? { commit, shortCommit: shortRef(commit) } : {}),
    ...(handled ? { lastHandledReconcileAt: handled } : {}),
    refused: refused.slice(0, maxRefused),
    conditions: nextConditions(conditions, assertions(standing), generation, now),
  };
}

function assertions(standing: SourceStanding): Assertion[] {
  switch (standing.type) {
    case 'Suspended':
      return [ready('Unknown', 'Suspended', 'Fetching is suspended; set suspend to false to go on.')];
    case 'Invalid':
      return [ready('False', 'InvalidSource', standing.message), stalled('InvalidSource', standing.message)];
    case 'Fetched':
      return [ready('True', 'Fetched', standing.message)];
    case 'InvalidEnvironments':
      return [
        ready('False', invalidEnvironments, standing.message),
        stalled(invalidEnvironments, 'The environments stay as they were; correct the files and push.'),
      ];
    default:
      return notFetched(standing);
  }
}

function notFetched({
  reason,
  message,
  stalled: forGood,
}: Extract<SourceStanding, { type: 'NotFetched' }>): Assertion[] {
  // Otherwise it is tried again by itself.
  const next: Assertion = { type: 'Reconciling', status: 'True', reason, message };
  return [ready('False', reason, message), forGood ? stalled(reason, message) : next];
}

function ready(status: Assertion['status'], reason: string, message: string): Assertion {
  return { type: 'Ready', status, reason, message };
}

function stalled(reason: string, message: string): Assertion {
  return { type: 'Stalled', status: 'True', reason, message };
}
