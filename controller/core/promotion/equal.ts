/**
 * Whether two JSON values say the same, whatever the order of their keys: databases do not keep it. A key without a value
 * counts as absent.
 */
export function isSame(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const first = new Map(Object.entries(a).filter(([, value]) => value !== undefined));
  const second = new Map(Object.entries(b).filter(([, value]) => value !== undefined));
  return (
    first.size === second.size && [...first].every(([key, value]) => second.has(key) && isSame(value, second.get(key)))
  );
}
