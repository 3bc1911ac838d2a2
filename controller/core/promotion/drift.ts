import { isSame } from './equal.ts';

/** Most fields that are named. */
const named = 10;

/** The fields in which a spec differs from what was promoted, such as `spec.steps[0].run`; empty when it does not. */
export function driftOf(promoted: unknown, present: unknown): string[] {
  const found: string[] = [];
  compare(promoted, present, 'spec', found);
  return found.length <= named ? found : [...found.slice(0, named), `${found.length - named} more`];
}

function compare(wanted: unknown, present: unknown, path: string, found: string[]): void {
  if (isSame(wanted, present)) return;
  if (Array.isArray(wanted) && Array.isArray(present) && wanted.length === present.length) {
    wanted.forEach((item, index) => compare(item, present[index], `${path}[${index}]`, found));
  } else if (isMap(wanted) && isMap(present)) {
    const keys = new Set([...Object.keys(wanted), ...Object.keys(present)]);
    for (const key of [...keys].sort()) compare(wanted[key], present[key], `${path}.${key}`, found);
  } else found.push(path);
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
