import type { ControllerCommand } from './fleet.ts';
import type { SeenAttempt } from './history.ts';
import type { Scenario } from './scenarios.ts';

/** Where runs happen: processes of this machine, or Pods of a cluster. */
export interface FaultHome {
  command: ControllerCommand;
  scenarios: Record<string, Scenario>;
  /** Workflows that every lock and group is asked for by, once all is over. */
  lockers: string[];
  /** Folder in which a file lets a run that failed go on. */
  rooms: string;
  /** The name of an attempt's side effect. */
  effectOf(attempt: SeenAttempt): string;
  /** Every side effect so far. */
  effects(): Promise<string[]>;
  /** Whether what has begun goes on whatever becomes of the controllers, and says itself how it ended. */
  outlives: boolean;
  /** What of attempts still lives. */
  living(): Promise<string[]>;
  /** Ends that, too. */
  close(): Promise<void>;
}

export interface FaultHomeOptions {
  directory: string;
  databaseUrl: string;
  namespace: string;
}
