import { decideRun } from '../core/run/decide.ts';
import type { RunState } from '../core/run/state.ts';
import type { RunDecision, RunObservation } from '../core/run/types.ts';
import { TerminalError } from '../runtime/errors.ts';
import type { Clock } from '../seams/clock.ts';
import type { Entry, Loaded } from './run-entries.ts';
import type { RunStatusWriter } from './statuses.ts';

const decisionAttempts = 3;

/** Decides about runs. @throws when that fails; TerminalError when it did several times in a row, and its object says so. */
export function createRunDecisions({ statuses, clock }: { statuses: Pick<RunStatusWriter, 'park'>; clock: Clock }) {
  return (entry: Entry, { plan, state }: Loaded, observations: RunObservation[]): RunDecision<RunState> => {
    try {
      const decision = decideRun(plan, state, observations, clock.now());
      entry.failedDecisions = 0;
      return decision;
    } catch (cause) {
      // Counted no further once it is parked: its message stays the same, so that its status is not written for ever.
      entry.failedDecisions = Math.min(entry.failedDecisions + 1, decisionAttempts);
      const message = `deciding failed ${entry.failedDecisions} times: ${String(cause)}`;
      if (entry.failedDecisions < decisionAttempts) throw new Error(message, { cause });
      if (entry.object) statuses.park(entry.object, message);
      throw new TerminalError(`the run is parked; ${message}`, { cause });
    }
  };
}
