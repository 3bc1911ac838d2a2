import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  afterRequest,
  beforeRequest,
  type Circuit,
  circuitState,
  closedCircuit,
  firstOpenMs,
  heldUntil,
  longestOpenMs,
  probeMs,
  threshold,
} from './circuit.ts';

function failing(times: number, from: Circuit = closedCircuit, now = 0): Circuit {
  let circuit = from;
  for (let i = 0; i < times; i++) circuit = afterRequest(circuit, true, now);
  return circuit;
}

describe('a circuit', () => {
  test('opens after so many failures in a row, and one answer in between begins the count anew', () => {
    expect(circuitState(failing(threshold - 1), 0)).toBe('Closed');
    expect(circuitState(failing(threshold), 0)).toBe('Open');
    expect(circuitState(failing(threshold - 1, afterRequest(failing(threshold - 1), false, 0)), 0)).toBe('Closed');
  });

  test('holds everything back until its time is over, then lets one probe through', () => {
    const open = failing(threshold);
    expect(heldUntil(open, firstOpenMs - 1)).toBe(firstOpenMs);
    expect(heldUntil(open, firstOpenMs)).toBeNull();
    expect(circuitState(open, firstOpenMs)).toBe('HalfOpen');
    const probing = beforeRequest(open, firstOpenMs);
    expect(heldUntil(probing, firstOpenMs + 1)).toBe(firstOpenMs + probeMs);
    expect(heldUntil(probing, firstOpenMs + probeMs)).toBeNull();
  });

  test('closes when the probe is answered, and stays open twice as long each time it is not', () => {
    const probing = beforeRequest(failing(threshold), firstOpenMs);
    expect(afterRequest(probing, false, firstOpenMs + 5)).toEqual(closedCircuit);
    let circuit = probing;
    let now = firstOpenMs;
    const spans: number[] = [];
    for (let i = 0; i < 6; i++) {
      circuit = afterRequest(beforeRequest(circuit, now), true, now);
      spans.push((circuit.openUntil ?? 0) - now);
      now = circuit.openUntil ?? 0;
    }
    expect(spans).toEqual([60_000, 120_000, 240_000, longestOpenMs, longestOpenMs, longestOpenMs]);
  });

  test('requests sent before it opened do not lengthen it', () => {
    const open = failing(threshold);
    expect(failing(10, open, firstOpenMs - 1)).toEqual(open);
  });

  test('whatever happens, nobody is held back for longer than the longest time', () => {
    const request = fc.record({ failed: fc.boolean(), after: fc.integer({ min: 0, max: 400_000 }) });
    fc.assert(
      fc.property(fc.array(request, { maxLength: 60 }), (requests) => {
        let circuit = closedCircuit;
        let now = 0;
        for (const { failed, after } of requests) {
          now += after;
          const held = heldUntil(circuit, now);
          if (held !== null) {
            expect(held - now).toBeLessThanOrEqual(longestOpenMs);
            continue;
          }
          circuit = afterRequest(beforeRequest(circuit, now), failed, now);
        }
      }),
    );
  });
});
