import type { Registry } from 'prom-client';
import type { Kind } from '../crds/kinds.ts';
import type { WorkflowSource } from '../crds/workflow-source.ts';
import type { Clock } from '../controller/seams/clock.ts';
import type { Store } from '../controller/store/types.ts';
import type { InvalidField } from './problem.ts';

/** Who holds the token. The group `*` stands for every group: on a laptop there is one person. */
export interface Identity {
  user: string;
  groups: string[];
}

/** What the API writes to its log; a pino logger fits. */
export interface RequestLog {
  error(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

/** Everything the API needs, handed in by start.ts. It reads history and writes intent (objects) only. */
export interface AppDependencies {
  store: Store;
  clock: Clock;
  log: RequestLog;
  /** Bearer token of every /api route; null lets everyone in (tests, or something in front that checks). */
  token: string | null;
  /** The holder of the token. */
  identity: Identity;
  /** Values of the Host header that are answered; an entry without a port stands for every port. Others get 421. */
  allowedHosts: string[];
  registry: Registry;
  ready(): Promise<{ ok: boolean; reasons: string[] }>;
  /** Checks an object as a user wrote it against its schema and rules; empty when it is right. */
  validate(kind: Kind, object: unknown): InvalidField[];
  /** The tags of a source at its last fetch, newest first. */
  tags(source: WorkflowSource): Promise<string[]>;
  /** Namespace of sources, environments and promotions. */
  project: string;
  version: string;
  /** Aborted when the server is about to stop: open streams end. */
  closing?: AbortSignal;
}
