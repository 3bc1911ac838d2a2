/** One server-sent event. */
export interface ServerEvent {
  event: string;
  /** What to send back as Last-Event-ID. */
  id: string | undefined;
  data: string;
}

/** Reads server-sent events from a body as the HTML standard has them, for any cut of the bytes. Comments are dropped. */
export async function* readServerEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerEvent> {
  let event = '';
  let id: string | undefined;
  let data: string[] = [];
  for await (const line of lines(body)) {
    if (line === '') {
      if (data.length > 0) yield { event: event || 'message', id, data: data.join('\n') };
      event = '';
      data = [];
      continue;
    }
    const colon = line.indexOf(':');
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'event') event = value;
    else if (field === 'data') data.push(value);
    else if (field === 'id') id = value;
  }
}

/** Lines ended by LF, CR or CRLF; what is left without an end is dropped, as an event cut in the middle must be. */
async function* lines(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const bytes of body) {
    rest += decoder.decode(bytes, { stream: true });
    // a CR at the very end may be half of a CRLF
    const end = rest.endsWith('\r') ? rest.length - 1 : rest.length;
    const parts = rest.slice(0, end).split(/\r\n|\n|\r/);
    rest = (parts.pop() ?? '') + rest.slice(end);
    yield* parts;
  }
}
