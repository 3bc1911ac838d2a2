import semver from 'semver';

/** A tag that names a version: `v1.4.0` for every workflow, `<workflow>/v1.4.0` for one. */
export interface VersionTag {
  /** The only workflow it speaks of, or null for every workflow below the path. */
  workflow: string | null;
  version: semver.SemVer;
}

const form = /^(?:([a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?)\/)?(v\d[-0-9A-Za-z.+]*)$/;

/** Reads a tag's name, without refs/tags/; null when it names no version. */
export function parseTag(name: string): VersionTag | null {
  const parts = form.exec(name);
  const version = parts?.[2] === undefined ? null : semver.parse(parts[2]);
  return version === null ? null : { workflow: parts?.[1] ?? null, version };
}

/** Whether a ref is a commit by its full hash (SHA-1 or SHA-256). */
export function isCommit(ref: string): boolean {
  return /^[0-9a-f]{40}(?:[0-9a-f]{24})?$/.test(ref);
}

/** The only workflow a ref speaks of, or null for all. */
export function scopeOf(ref: string): string | null {
  return parseTag(ref)?.workflow ?? null;
}

/** Negative when `a` is the lower version. Build metadata breaks ties, so that "the highest tag" is always one tag. */
export function compareVersions(a: VersionTag, b: VersionTag): number {
  return semver.compareBuild(a.version, b.version);
}

/** Whether a range can be read: alternatives by `||`, comparators by blanks or commas, as Flux has them. */
export function isRange(range: string): boolean {
  return alternatives(range).every((alternative) => semver.validRange(alternative) !== null);
}

/** Whether a version is in a range. Prereleases are only where the alternative itself names one: `>=1.0.0-0`. */
export function inRange(range: string, tag: VersionTag): boolean {
  return alternatives(range).some((alternative) => {
    // The library lets 1.1.0-rc.1 into >=1.0.0-0 only when asked to include prereleases, and then into >=1.0.0 as well.
    const includePrerelease = namesPrerelease(alternative);
    if (tag.version.prerelease.length > 0 && !includePrerelease) return false;
    return semver.satisfies(tag.version, alternative, { includePrerelease });
  });
}

function alternatives(range: string): string[] {
  return range.split('||').map((alternative) => alternative.replaceAll(',', ' '));
}

function namesPrerelease(alternative: string): boolean {
  return /\d+\.\d+\.\d+-[0-9A-Za-z]/.test(alternative);
}
