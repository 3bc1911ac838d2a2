/** What stands in a log where a secret was. */
const mask = Buffer.from('***');

/**
 * Hides every form of the secrets in a stream of bytes: raw, each long line of a multi-line value, base64 (at any
 * alignment, so that `user:secret` in a Basic header is found), base64url, URL-escaped, JSON-escaped. The result depends
 * on the bytes alone, never on how they were cut into chunks, so that a writer may begin again from the start.
 */
export class Masker {
  readonly #patterns: Buffer[];
  /** Bytes held back because a secret may begin in them, and which of them belong to one already found. */
  #held: Buffer = Buffer.alloc(0);
  #heldCovered: Uint8Array = new Uint8Array(0);
  #inMask = false;
  readonly #keep: number;

  constructor(secrets: readonly string[]) {
    this.#patterns = secretForms(secrets).map((form) => Buffer.from(form));
    this.#keep = Math.max(0, ...this.#patterns.map((p) => p.length - 1));
  }

  /** Takes the next bytes and returns what can be shown already. */
  push(chunk: Buffer): Buffer {
    return this.#patterns.length === 0 ? chunk : this.#take(chunk, this.#keep);
  }

  /** The rest. Call once, at the end of the stream. */
  end(): Buffer {
    return this.#take(Buffer.alloc(0), 0);
  }

  #take(chunk: Buffer, keep: number): Buffer {
    const bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    const covered = this.#cover(bytes);
    const cut = Math.max(0, bytes.length - keep);
    const shown = covered ? this.#show(bytes, covered, cut) : this.#plain(bytes, cut);
    // Copies: the caller may reuse the memory of its chunk.
    this.#held = Buffer.from(bytes.subarray(cut));
    this.#heldCovered = covered ? covered.slice(cut) : new Uint8Array(0);
    return shown;
  }

  /** One mark a byte, or null when there is nothing to hide. */
  #cover(bytes: Buffer): Uint8Array | null {
    let covered: Uint8Array | null = null;
    if (this.#heldCovered.includes(1)) {
      covered = new Uint8Array(bytes.length);
      covered.set(this.#heldCovered);
    }
    for (const pattern of this.#patterns) {
      for (let at = bytes.indexOf(pattern); at !== -1; at = bytes.indexOf(pattern, at + 1)) {
        covered ??= new Uint8Array(bytes.length);
        covered.fill(1, at, at + pattern.length);
      }
    }
    return covered;
  }

  #plain(bytes: Buffer, cut: number): Buffer {
    if (cut > 0) this.#inMask = false;
    return bytes.subarray(0, cut);
  }

  #show(bytes: Buffer, covered: Uint8Array, cut: number): Buffer {
    const parts: Buffer[] = [];
    let at = 0;
    while (at < cut) {
      const secret = covered[at] === 1;
      let end = at + 1;
      while (end < cut && (covered[end] === 1) === secret) end++;
      if (!secret) parts.push(bytes.subarray(at, end));
      else if (!this.#inMask) parts.push(mask);
      this.#inMask = secret;
      at = end;
    }
    return Buffer.concat(parts);
  }
}

/** `text` with every form of the secrets replaced by `***`. */
export function maskText(text: string, secrets: readonly string[]): string {
  if (secrets.length === 0) return text;
  const masker = new Masker(secrets);
  return Buffer.concat([masker.push(Buffer.from(text)), masker.end()]).toString();
}

/** True when `text` contains any form of any of the secrets. */
export function containsSecret(text: string, secrets: readonly string[]): boolean {
  return secretForms(secrets).some((form) => text.includes(form));
}

function secretForms(secrets: readonly string[]): string[] {
  const forms = new Set<string>();
  for (const secret of secrets) {
    if (secret === '') continue;
    forms.add(secret);
    forms.add(encodeURIComponent(secret.toWellFormed()));
    forms.add(new URLSearchParams([['', secret]]).toString().slice(1));
    forms.add(JSON.stringify(secret).slice(1, -1));
    for (const base64 of base64Forms(secret)) {
      forms.add(base64);
      forms.add(base64.replaceAll('+', '-').replaceAll('/', '_'));
    }
    // A key in PEM form is often printed line by line, indented.
    for (const line of secret.split('\n')) if (line.trim().length >= 8) forms.add(line.trim());
  }
  return [...forms];
}

/** Base64 of a value wherever it stands in the encoded text: what depends only on its own bytes, for each alignment. */
function base64Forms(secret: string): string[] {
  const bytes = Buffer.from(secret);
  const forms = [bytes.toString('base64').replace(/=+$/, '')];
  // Below this length what is left of a shifted form is so short that it would hide ordinary words.
  if (bytes.length < 8) return forms;
  for (const shift of [0, 1, 2]) {
    const encoded = Buffer.concat([Buffer.alloc(shift), bytes])
      .toString('base64')
      .replace(/=+$/, '');
    const whole = Math.floor(((shift + bytes.length) * 8) / 6);
    forms.push(encoded.slice(Math.ceil((shift * 8) / 6), whole));
  }
  return forms;
}
