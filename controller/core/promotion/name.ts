const maxLength = 253;

/**
 * The name of the Promotion of one ref into one environment: readable, a valid RFC 1123 subdomain, and the same whoever
 * computes it, so that creating it twice is harmless. `since` tells apart environments that had the name one after another.
 */
export function promotionName(environment: string, ref: string, commit: string, since?: number): string {
  const hash = fnv1a([environment, ref, commit, ...(since === undefined ? [] : [since])].join('\n'));
  const readable = `${environment}-${ref === commit ? ref.slice(0, 12) : ref}`
    .toLowerCase()
    .replace(/[^a-z0-9.]+/g, '-')
    .replace(/-*\.[-.]*/g, '.')
    .slice(0, maxLength - hash.length - 1)
    .replace(/[-.]+$/, '');
  return `${readable}-${hash}`;
}

/** Key of one name in `PromotionFacts.knownNames`. */
export function nameKey(name: { workflow: string; digest: string; ref: string; commit: string }): string {
  return `${name.workflow}\n${name.digest}\n${name.ref}\n${name.commit}`;
}

/** FNV-1a over UTF-16 code units, as 8 hex digits: tells apart what the readable part cannot, protects nothing. */
function fnv1a(text: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  }
  return hash.toString(16).padStart(8, '0');
}
