import type { Logger } from 'pino';
import { decideAdmission } from '../core/admission/decide.ts';
import { nodeOf } from '../core/admission/types.ts';
import type { RunAction, RunObservation } from '../core/run/types.ts';
import type { Instant } from '../core/time.ts';
import type { LockAnswer, Store } from '../store/types.ts';

export interface RunLocksDependencies {
  store: Pick<Store, 'locks'>;
  /** Most running steps of each namespace; null: any number. */
  slots: number | null;
  post(runId: string, observation: RunObservation): void;
  /** The run is to be cancelled: another one of its group takes its place. */
  supersede(runId: string, reason: string): void;
  log: Logger;
}

/** Asks for locks on behalf of the runs of this replica, and brings them the answers, whoever decided. */
export interface RunLocks {
  acquire(action: Extract<RunAction, { type: 'Acquire' }>): Promise<void>;
  /** @throws when the database is away; what has ended holds nothing after the next decision anyway */
  release(action: Extract<RunAction, { type: 'Release' }>): Promise<void>;
  /** A run of a group was loaded, which may have been superseded while nobody owned it. */
  follow(runId: string): Promise<void>;
  forget(runId: string): void;
  start(): void;
  stop(): Promise<void>;
}

/** What one run has asked for. */
interface Asked {
  /** It is in a group: somebody may take its place. */
  grouped: boolean;
  /** Who waits, by node, and since when. */
  unanswered: Map<string, Instant>;
}

export function createRunLocks({ store, slots, post, supersede, log }: RunLocksDependencies): RunLocks {
  const asked = new Map<string, Asked>();
  const stops: (() => void)[] = [];
  let looking: Promise<void> | null = null;
  let again = false;

  function of(runId: string): Asked {
    const known = asked.get(runId) ?? { grouped: false, unanswered: new Map() };
    asked.set(runId, known);
    return known;
  }

  function tell(answers: LockAnswer[]): void {
    for (const answer of answers) {
      const { runId, holder } = answer;
      const known = asked.get(runId);
      if (!known) continue;
      if (answer.type === 'Superseded') {
        supersede(runId, answer.reason);
        continue;
      }
      const { since } = answer;
      const node = nodeOf(runId, holder);
      // Of what the same unit asked for before, it says nothing about now.
      if (known.unanswered.get(node) !== since) continue;
      known.unanswered.delete(node);
      if (answer.type === 'Granted') post(runId, { type: 'LocksGranted', holder, since });
      else post(runId, { type: 'LocksRefused', holder, since, error: answer.error });
    }
  }

  /** One look at a time, and another when something came in meanwhile. */
  function look(): void {
    again = true;
    looking ??= lookAll().finally(() => {
      looking = null;
    });
  }

  async function lookAll(): Promise<void> {
    try {
      while (again) {
        again = false;
        const waiting = [...asked].filter(([, { grouped, unanswered }]) => grouped || unanswered.size > 0);
        if (waiting.length > 0) tell(await store.locks.answers(waiting.map(([id]) => id)));
      }
    } catch (error) {
      log.warn({ err: error }, 'answers about locks could not be read; it is tried again');
    }
  }

  return {
    async acquire(action) {
      const known = of(action.runId);
      if (action.request.group) known.grouped = true;
      known.unanswered.set(nodeOf(action.runId, action.holder), action.since);
      const { type: _type, ...ask } = action;
      await store.locks.ask(ask, slots, decideAdmission);
    },
    async release({ runId, holder, namespace }) {
      asked.get(runId)?.unanswered.delete(nodeOf(runId, holder));
      await store.locks.letGo(namespace, { runId, holder }, slots, decideAdmission);
    },
    async follow(runId) {
      of(runId).grouped = true;
      tell(await store.locks.answers([runId]));
    },
    forget: (runId) => void asked.delete(runId),
    start() {
      stops.push(store.locks.onAnswers(tell), store.locks.onElsewhere(look));
    },
    async stop() {
      for (const stop of stops) stop();
      await looking;
    },
  };
}
