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
  return `"${name}" is a word of CEL and cannot be used in expressions; choose another name`;
}
