import {
  afterRequest,
  beforeRequest,
  type Circuit,
  type CircuitState,
  circuitState,
  closedCircuit,
  heldUntil,
} from '../core/circuit.ts';
import type { AttemptKey, AttemptResult, RunAction } from '../core/run/types.ts';
import type { Instant } from '../core/time.ts';
import type { Clock } from '../seams/clock.ts';

/** What people see of a target host that has failed lately. */
export interface CircuitView {
  /** As in a URL: name and port. */
  host: string;
  state: CircuitState;
  failures: number;
  /** When it lets a request through again; null while it is closed. */
  openUntil: Instant | null;
}

/** The circuit breakers of this replica, one a target host of `http` steps. */
export interface Circuits {
  /** The hosts that nothing may be sent to now: a fact for decisions. */
  held(): { host: string; until: Instant }[];
  /** Told of decided actions before anybody else decides: of a half-open host the first one is the probe. */
  sending(actions: readonly RunAction[]): void;
  /** How an attempt ended; of others than `http` nothing is known here. */
  ended(key: AttemptKey, result: AttemptResult): void;
  list(): CircuitView[];
}

/** Hosts come from users: of more than these, those that fail least are forgotten. */
const mostHosts = 10_000;

/** @param closed called when requests may be sent again that were held */
export function createCircuits(clock: Clock, closed: () => void): Circuits {
  /** Only hosts whose last request failed. */
  const circuits = new Map<string, Circuit>();
  /** Host of each request on its way. */
  const sent = new Map<string, string>();

  function keep(host: string, circuit: Circuit): void {
    circuits.delete(host);
    if (circuit.failures === 0) return;
    circuits.set(host, circuit);
    if (circuits.size <= mostHosts) return;
    for (const [other, { openUntil }] of circuits) {
      if (openUntil !== null) continue;
      circuits.delete(other);
      return;
    }
  }

  return {
    held() {
      const now = clock.now();
      const held: { host: string; until: Instant }[] = [];
      for (const [host, circuit] of circuits) {
        const until = heldUntil(circuit, now);
        if (until !== null) held.push({ host, until });
      }
      return held;
    },
    sending(actions) {
      for (const action of actions) {
        if (action.type !== 'Start' || action.body.kind !== 'http' || !URL.canParse(action.body.url)) continue;
        const { host } = new URL(action.body.url);
        sent.set(idOf(action.key), host);
        const circuit = circuits.get(host);
        if (circuit) circuits.set(host, beforeRequest(circuit, clock.now()));
      }
    },
    ended(key, result) {
      const id = idOf(key);
      const host = sent.get(id);
      if (host === undefined) return;
      sent.delete(id);
      if (result.outcome === 'Stopped') return;
      const failed = result.outcome === 'Failed' && isFailureOfHost(result.error);
      const known = circuits.get(host);
      if (!failed && !known) return;
      keep(host, afterRequest(known ?? closedCircuit, failed, clock.now()));
      if (!failed && known !== undefined && known.openUntil !== null) closed();
    },
    list() {
      const now = clock.now();
      return Array.from(circuits, ([host, circuit]) => ({
        host,
        state: circuitState(circuit, now),
        failures: circuit.failures,
        openUntil: circuit.openUntil,
      })).sort((a, b) => (a.host < b.host ? -1 : 1));
    },
  };
}

/** It did not answer, or said that it cannot: other answers, and requests that were refused here, say nothing against it. */
function isFailureOfHost({
  type,
  status,
  unreachable,
}: {
  type: string;
  status?: number;
  unreachable?: boolean;
}): boolean {
  return type === 'http' && (unreachable === true || (status !== undefined && status >= 500));
}

function idOf({ runId, step, item, attempt }: AttemptKey): string {
  return `${runId} ${step} ${item} ${attempt}`;
}
