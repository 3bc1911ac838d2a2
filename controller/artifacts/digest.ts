/** The hex of a digest, which is what artifacts are named by. @throws TypeError for what is no digest of an artifact */
export function hexOf(digest: string): string {
  const [, hex] = /^sha256:([0-9a-f]{64})$/.exec(digest) ?? [];
  // Names in a directory and keys in a bucket are made of it.
  if (hex === undefined) throw new TypeError(`${JSON.stringify(digest)} is no digest of an artifact`);
  return hex;
}
