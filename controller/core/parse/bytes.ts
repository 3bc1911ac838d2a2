/** Largest file that is parsed. */
const maxFileBytes = 1024 * 1024;

/** What a file must mention to be ours when it cannot be parsed (design 5, "Refs"). */
const marker = 'windlass.dev/';

/** True when the bytes mention our API group, in UTF-8 or (zero bytes ignored) in UTF-16. */
export function mentionsWindlass(bytes: Uint8Array): boolean {
  let matched = 0;
  for (const byte of bytes) {
    if (byte === 0) continue;
    if (byte === marker.charCodeAt(matched)) {
      matched++;
      if (matched === marker.length) return true;
    } else {
      // No proper prefix of the marker is also its suffix, so a mismatch starts over, at this byte.
      matched = byte === marker.charCodeAt(0) ? 1 : 0;
    }
  }
  return false;
}

/** Control characters, which kubectl refuses, and the line breaks of YAML 1.1 that are plain text in YAML 1.2. */
// oxlint-disable-next-line no-control-regex
const refused = /[\u0001-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/;

export type DecodedFile = { ok: true; text: string } | { ok: false; rule: string; message: string; line: number };

/** Bytes as text, or why they are none: too large, not UTF-8, or with characters that YAML does not have. A byte order mark is dropped. */
export function decodeFile(bytes: Uint8Array): DecodedFile {
  if (bytes.length > maxFileBytes) {
    const size = (bytes.length / maxFileBytes).toFixed(1);
    const message = `the file is ${size} MiB; at most 1 MiB is read. Split it, or move data into files named by \`files\``;
    return { ok: false, rule: 'file-too-large', message, line: 1 };
  }
  const nul = bytes.indexOf(0);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    const lines = new TextDecoder().decode(bytes).split('\n');
    const line =
      Math.max(
        0,
        lines.findIndex((l) => l.includes('\ufffd')),
      ) + 1;
    return { ok: false, rule: 'file-not-utf8', message: 'the file is not UTF-8; save it as UTF-8', line };
  }
  if (nul !== -1) {
    const line = bytes.subarray(0, nul).reduce((n, byte) => (byte === 10 ? n + 1 : n), 1);
    return { ok: false, rule: 'file-nul', message: 'the file has a NUL byte; it is not a text file', line };
  }
  const at = text.search(refused);
  if (at !== -1) {
    const code = text.charCodeAt(at).toString(16).toUpperCase().padStart(4, '0');
    const message = `the file has the character U+${code}, which YAML versions read differently; write it as "\\u${code.toLowerCase()}"`;
    return { ok: false, rule: 'file-character', message, line: text.slice(0, at).split('\n').length };
  }
  return { ok: true, text };
}
