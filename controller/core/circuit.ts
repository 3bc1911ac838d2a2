import type { Instant } from './time.ts';

/** What is known of one target host. Closed until `threshold` requests in a row have failed; open until an instant; then one run probes. */
export interface Circuit {
  /** Failed requests in a row. */
  failures: number;
  /** Set while the circuit is not closed: nothing is sent before it. After it the circuit is half-open. */
  openUntil: Instant | null;
  /** How long it was opened last, in ms; each failed probe doubles it. */
  openMs: number;
  /** Half-open: until when the run that probes is waited for. */
  probeUntil: Instant | null;
}

export type CircuitState = 'Closed' | 'Open' | 'HalfOpen';

export const threshold = 5;
export const firstOpenMs = 30_000;
export const longestOpenMs = 300_000;
/** A probe that was never sent, or whose end nobody saw, keeps others away no longer. */
export const probeMs = 60_000;

export const closedCircuit: Circuit = { failures: 0, openUntil: null, openMs: 0, probeUntil: null };

export function circuitState({ openUntil }: Circuit, now: Instant): CircuitState {
  if (openUntil === null) return 'Closed';
  return now < openUntil ? 'Open' : 'HalfOpen';
}

/** What becomes of a circuit when a request has ended. Any answer of the host that is no failure closes it. */
export function afterRequest(circuit: Circuit, failed: boolean, now: Instant): Circuit {
  if (!failed) return closedCircuit;
  const failures = circuit.failures + 1;
  const state = circuitState(circuit, now);
  // Requests that were sent before it opened say nothing new.
  if (state === 'Open') return circuit;
  if (state === 'Closed' && failures < threshold) return { ...circuit, failures };
  const openMs = state === 'Closed' ? firstOpenMs : Math.min(circuit.openMs * 2, longestOpenMs);
  return { failures, openUntil: now + openMs, openMs, probeUntil: null };
}

/** Until when nothing may be sent; null: now. */
export function heldUntil({ openUntil, probeUntil }: Circuit, now: Instant): Instant | null {
  if (openUntil !== null && now < openUntil) return openUntil;
  return probeUntil !== null && now < probeUntil ? probeUntil : null;
}

/** A request is about to be sent: of a half-open circuit it is the probe that the others wait for. */
export function beforeRequest(circuit: Circuit, now: Instant): Circuit {
  return circuitState(circuit, now) === 'HalfOpen' ? { ...circuit, probeUntil: now + probeMs } : circuit;
}
