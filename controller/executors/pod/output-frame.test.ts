import fc from 'fast-check';
import { expect, test } from 'vitest';
import { OutputFrame } from './output-frame.ts';
import { frameMarks } from './wrapper.ts';

const marks = frameMarks('0123456789abcdef');

function read(log: Buffer, sizes: number[]): { shown: string; content: string | null } {
  const frame = new OutputFrame(marks);
  const parts: Buffer[] = [];
  for (let at = 0, i = 0; at < log.length; i++) {
    const size = sizes[i % sizes.length] ?? 1;
    parts.push(frame.push(log.subarray(at, at + size)));
    at += size;
  }
  parts.push(frame.finish());
  return { shown: Buffer.concat(parts).toString(), content: frame.content };
}

const noise = fc.string({ unit: fc.constantFrom('\u0001', 'windlass-output ', '0123456789abcdef', 'x', '\n') });

test('what is between the marks is taken out, whatever stands around it and however it comes; after them nothing is shown', () => {
  fc.assert(
    fc.property(
      noise,
      fc.base64String(),
      noise,
      fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }),
      (before, content, after, sizes) => {
        fc.pre(!before.includes(marks.begin) && !`${before}${marks.begin}`.slice(0, -1).includes(marks.begin));
        const log = Buffer.from(`${before}${marks.begin}${content}${marks.end}${after}`);
        expect(read(log, sizes)).toEqual({ shown: before, content });
      },
    ),
  );
});

test('a log without a frame is shown as it is, and what never ends is no frame', () => {
  fc.assert(
    fc.property(noise, fc.integer({ min: 1, max: 40 }), (log, size) => {
      fc.pre(!log.includes(marks.begin));
      expect(read(Buffer.from(log), [size])).toEqual({ shown: log, content: null });
    }),
  );
  expect(read(Buffer.from(`a${marks.begin}AAAA`), [3])).toEqual({ shown: 'a', content: null });
});

test("another attempt's marks are ordinary text", () => {
  const other = frameMarks('fedcba9876543210');
  const log = `${other.begin}AAAA${other.end}`;
  expect(read(Buffer.from(log), [7])).toEqual({ shown: log, content: null });
});
