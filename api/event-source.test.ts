import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readServerEvents, type ServerEvent } from './event-source.ts';

async function read(text: string, cuts: number[] = []): Promise<ServerEvent[]> {
  const bytes = new TextEncoder().encode(text);
  const at = [...new Set([0, ...cuts.map((c) => c % (bytes.length + 1)), bytes.length])].toSorted((a, b) => a - b);
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const [i, from] of at.entries()) controller.enqueue(bytes.slice(from, at[i + 1] ?? bytes.length));
      controller.close();
    },
  });
  const events: ServerEvent[] = [];
  for await (const event of readServerEvents(stream)) events.push(event);
  return events;
}

test.each([
  ['a named event', 'event: log\nid: 7\ndata: {}\n\n', [{ event: 'log', id: '7', data: '{}' }]],
  ['an unnamed one', 'data: x\n\n', [{ event: 'message', id: undefined, data: 'x' }]],
  ['several lines of data', 'data: a\ndata: b\n\n', [{ event: 'message', id: undefined, data: 'a\nb' }]],
  ['comments, and blocks without data', ': hi\n\nevent: x\n\n', []],
  ['an event cut before its end', 'data: a\n\ndata: b\n', [{ event: 'message', id: undefined, data: 'a' }]],
  [
    'CRLF',
    'data: a\r\n\r\ndata: b\r\n\r\n',
    [
      { event: 'message', id: undefined, data: 'a' },
      { event: 'message', id: undefined, data: 'b' },
    ],
  ],
])('%s', async (_, text, events) => {
  expect(await read(text)).toEqual(events);
});

test('an id stays until there is another', async () => {
  const events = await read('id: 1\ndata: a\n\ndata: b\n\n');
  expect(events.map((e) => e.id)).toEqual(['1', '1']);
});

test('how the bytes are cut makes no difference', async () => {
  const text = 'id: 1\r\nevent: log\r\ndata: {"text":"grüße 🚀"}\r\n\r\n: c\n\nid: 2\ndata: b\n\n';
  const whole = await read(text);
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(200), { maxLength: 12 }), async (cuts) => {
      expect(await read(text, cuts)).toEqual(whole);
    }),
  );
});
