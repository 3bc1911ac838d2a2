/** Says where a key `true` or `false` comes from; kubectl's YAML is 1.1. */
export const booleanKeyHint =
  "an unquoted y, n, yes, no, on or off is true or false in kubectl's YAML: quote it or rename it";

/** Whether a key is what kubectl makes of such a word. */
export function isBooleanKey(key: string): boolean {
  return key === 'true' || key === 'false';
}

/** What kubectl makes of an unquoted key, when it is one of those words; else null. */
export function booleanKeyOf(word: string): 'true' | 'false' | null {
  if (/^(y|yes|on)$/i.test(word)) return 'true';
  return /^(n|no|off)$/i.test(word) ? 'false' : null;
}
