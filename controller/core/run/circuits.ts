import type { Instant } from '../time.ts';
import type { Draft } from './draft.ts';
import { makeReady, type RunState } from './state.ts';
import type { ResolvedBody, RunObservation } from './types.ts';

/** Until when nothing may be sent to the host of a request; null: now, or it is no request. */
export function circuitOf({ circuits }: RunState, body: ResolvedBody, now: Instant): Instant | null {
  if (body.kind !== 'http' || circuits.size === 0 || !URL.canParse(body.url)) return null;
  const until = circuits.get(new URL(body.url).host) ?? null;
  return until !== null && until > now ? until : null;
}

/** Takes the circuits as they are now; when they have changed, whoever waits for one looks again. */
export function observeCircuits(
  { state }: Draft,
  { open }: Extract<RunObservation, { type: 'CircuitsObserved' }>,
): void {
  const { circuits, awaitingCircuit } = state;
  if (open.length === circuits.size && open.every(({ host, until }) => circuits.get(host) === until)) return;
  state.circuits = new Map(open.map(({ host, until }) => [host, until]));
  for (const unit of awaitingCircuit) makeReady(state, unit);
}
