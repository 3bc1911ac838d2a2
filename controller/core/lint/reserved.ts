import { booleanKeyHint, isBooleanKey } from '../boolean-keys.ts';

/** Words that CEL keeps for itself: a field of that name cannot be written after a dot. */
const reserved = new Set(
  (
    'true false null in as break const continue else for function if import let loop package namespace return var void ' +
    'while'
  ).split(' '),
);

export function isReserved(name: string): boolean {
  return reserved.has(name);
}

export function reservedMessage(name: string): string {
  const hint = isBooleanKey(name) ? booleanKeyHint : 'choose another name';
  return `"${name}" is a word of CEL and cannot be used in expressions; ${hint}`;
}
