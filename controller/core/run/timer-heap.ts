import type { Instant } from '../time.ts';

/** In the order in which timers of one instant are served: what ends well goes before what cuts short. */
export const timerKinds = ['until', 'attempt', 'deadline', 'run', 'finally'] as const;
export type TimerKind = (typeof timerKinds)[number];

export interface Timer {
  at: Instant;
  kind: TimerKind;
  /** Step index, or `ofRun`. */
  step: number;
}

/**
 * Timers by instant, as a binary heap. Nothing is ever removed from its middle: whether a timer still stands is read
 * from the rows when it reaches the top (`isDue` in timers.ts), so cancelling costs nothing and cannot be forgotten.
 */
export interface TimerHeap {
  items: Timer[];
}

export function peekTimer(heap: TimerHeap): Timer | undefined {
  return heap.items[0];
}

export function pushTimer(heap: TimerHeap, timer: Timer): void {
  const { items } = heap;
  let at = items.length;
  items.push(timer);
  while (at > 0) {
    const parent = (at - 1) >> 1;
    const above = items[parent] as Timer;
    if (!isBefore(timer, above)) break;
    items[at] = above;
    at = parent;
  }
  items[at] = timer;
}

export function popTimer(heap: TimerHeap): Timer | undefined {
  const { items } = heap;
  const top = items[0];
  const last = items.pop();
  if (last === undefined || items.length === 0) return top;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= items.length) break;
    const right = child + 1;
    if (right < items.length && isBefore(items[right] as Timer, items[child] as Timer)) child = right;
    if (!isBefore(items[child] as Timer, last)) break;
    items[at] = items[child] as Timer;
    at = child;
  }
  items[at] = last;
  return top;
}

/** A total order, so that a hydrated run serves simultaneous timers as the folded one would. */
function isBefore(a: Timer, b: Timer): boolean {
  if (a.at !== b.at) return a.at < b.at;
  if (a.kind !== b.kind) return timerKinds.indexOf(a.kind) < timerKinds.indexOf(b.kind);
  return a.step < b.step;
}
