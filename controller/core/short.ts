/** A ref as people read it: of a commit the first 12 digits; tags and other names as they are. */
export function shortRef(ref: string): string {
  return /^[0-9a-f]{40}(?:[0-9a-f]{24})?$/.test(ref) ? ref.slice(0, 12) : ref;
}

/** `sha256:` and 12 digits. */
export function shortDigest(digest: string): string {
  return digest.slice(0, 'sha256:'.length + 12);
}

/** What tells which version runs: the name it was promoted by, or its digest, when it has no name. */
export function shortVersion({ version, digest }: { version: string | null; digest: string }): string {
  return version === null ? shortDigest(digest) : shortRef(version);
}
