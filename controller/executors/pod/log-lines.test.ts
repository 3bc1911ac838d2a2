import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LogLines } from './log-lines.ts';

function at(nanoseconds: number): string {
  return `2026-11-20T23:14:57.${String(nanoseconds).padStart(9, '0')}Z`;
}

/** A log as the kubelet gives it: `[nanoseconds, text]` a line; the last may lack its end. */
function raw(lines: [number, string][], ended = true): Buffer {
  const text = lines.map(([ns, line]) => `${at(ns)} ${line}`).join('\n');
  return Buffer.from(ended && lines.length > 0 ? `${text}\n` : text);
}

describe('the text of a log', () => {
  test('is what follows the timestamps', () => {
    const lines = new LogLines();
    expect(
      lines
        .push(
          raw([
            [1, 'one'],
            [2, ''],
            [2, ' two 2026-11-20T23:14:57Z x'],
          ]),
        )
        .toString(),
    ).toBe('one\n\n two 2026-11-20T23:14:57Z x\n');
    expect(lines.since).toBe(at(2));
  });

  test('is not what the kubelet says when it has none', () => {
    expect(() => new LogLines().push(Buffer.from('unable to retrieve container logs for containerd://4f'))).toThrow(
      'unable to retrieve container logs',
    );
    expect(() => new LogLines().push(Buffer.from('failed to try resolving symlinks in path "/var/log"'))).toThrow(
      'failed to try',
    );
  });

  const log = fc.array(
    fc.tuple(fc.integer({ min: 0, max: 3 }), fc.string({ unit: fc.constantFrom('a', 'b', ' ', 'é') })),
    { maxLength: 12 },
  );

  test('comes whole, however it is cut into chunks and connections', () => {
    fc.assert(
      fc.property(
        log,
        fc.array(fc.nat({ max: 400 }), { maxLength: 4 }),
        fc.integer({ min: 1, max: 50 }),
        (steps, cuts, size) => {
          let ns = 0;
          const all = steps.map(([step, text]): [number, string] => [(ns += step), text]);
          const bytes = raw(all);
          const lines = new LogLines();
          let text = '';
          for (const cut of [...cuts, bytes.length]) {
            lines.resume();
            // sinceTime knows no fractions: all of this second comes again.
            const connection = bytes.subarray(0, cut);
            for (let from = 0; from < connection.length; from += size) {
              text += lines.push(connection.subarray(from, from + size)).toString('latin1');
            }
          }
          expect(Buffer.from(text, 'latin1').toString()).toBe(all.map(([, line]) => `${line}\n`).join(''));
          expect(lines.takeGap()).toBe(false);
        },
      ),
    );
  });

  test('has a gap where the node has removed lines', () => {
    const lines = new LogLines();
    lines.push(
      raw([
        [1, 'one'],
        [2, 'two'],
      ]),
    );
    lines.resume();
    expect(lines.push(raw([[4, 'four']])).toString()).toBe('four\n');
    expect(lines.takeGap()).toBe(true);
    expect(lines.takeGap()).toBe(false);
  });

  test('goes on within a line that was cut off', () => {
    const lines = new LogLines();
    expect(
      lines
        .push(
          raw(
            [
              [1, 'one'],
              [2, 'tw'],
            ],
            false,
          ),
        )
        .toString(),
    ).toBe('one\ntw');
    lines.resume();
    expect(
      lines
        .push(
          raw([
            [1, 'one'],
            [2, 'two'],
            [2, 'too'],
          ]),
        )
        .toString(),
    ).toBe('o\ntoo\n');
  });
});
