import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { readMessage, readOutputs, readPlainMessage } from './outputs.ts';

function framed(text: string): { message: string; base64: string } {
  const bytes = Buffer.from(text);
  const sum = createHash('sha256').update(bytes).digest('hex');
  return { message: `l ${bytes.length} ${sum}`, base64: bytes.toString('base64').replaceAll(/.{76}/g, '$&\n') };
}

function outputsOf(message: string, frame: string | null = null, secrets: string[] = []) {
  return readOutputs(readMessage(message), frame, secrets);
}

describe('outputs', () => {
  test.each([
    ['', ''],
    ['ta=1\n', 'a=1\n'],
    [`b${Buffer.from('a=ü').toString('base64')}\n`, 'a=ü'],
    [`b${Buffer.from([0x61, 0x3d, 0x00]).toString('base64')}`, 'a=\uFFFD'],
  ])('from the message %j', (message, text) => {
    expect(outputsOf(message)).toEqual({ outcome: 'Succeeded', outputs: { text } });
  });

  test('from the log, line ends and all', () => {
    const { message, base64 } = framed(`a=${'ü'.repeat(5000)}`);
    expect(outputsOf(message, `${base64}\n`)).toEqual({
      outcome: 'Succeeded',
      outputs: { text: `a=${'ü'.repeat(5000)}` },
    });
  });

  test('of a container are its whole message, and one that Kubernetes may have cut is refused', () => {
    expect(readOutputs(readPlainMessage('e too large'), null, [])).toMatchObject({ outputs: { text: 'e too large' } });
    expect(readOutputs(readPlainMessage('x'.repeat(4095)), null, [])).toMatchObject({ outcome: 'Succeeded' });
    for (const cut of ['x'.repeat(4096), `\uFFFD${'ü'.repeat(2047)}`]) {
      expect(readOutputs(readPlainMessage(cut), null, [])).toMatchObject({
        error: { type: 'output', message: expect.stringContaining('4095 bytes'), retryable: false },
      });
    }
  });

  test.each([
    ['did not come', null],
    ['came in part', framed('a=1'.repeat(2000)).base64.slice(0, 4000)],
    ['came changed', framed('a=2'.repeat(2000)).base64],
  ])("that %s are lost, which is not the step's doing", (_, frame) => {
    expect(outputsOf(framed('a=1'.repeat(2000)).message, frame)).toMatchObject({
      outcome: 'Failed',
      error: { type: 'infrastructure/outputLost', retryable: true },
    });
  });

  test.each(['x', 'l 5', 'l five 00', 'l 5 00'])('announced by %j are lost', (message) => {
    expect(outputsOf(message)).toMatchObject({ error: { type: 'infrastructure/outputLost' } });
  });

  test.each([
    ['e too large', '16 MiB'],
    ['e base64', 'base64'],
    ['e sha256sum', 'sha256sum'],
  ])('that could not be handed over (%s) say why', (message, words) => {
    expect(outputsOf(message)).toMatchObject({
      error: { type: 'output', message: expect.stringContaining(words), retryable: false },
    });
  });

  test('with a secret in them are refused, without naming it', () => {
    const result = outputsOf('tt=hunter2-hunter2\n', null, ['hunter2-hunter2']);
    expect(result).toMatchObject({ error: { type: 'secretInOutput', retryable: false } });
    expect(JSON.stringify(result)).not.toContain('hunter2');
  });
});
