import { resolve } from 'node:path';
import { InvalidArgumentError, Option } from 'commander';
import type { S3Credentials } from '../controller/artifacts/credentials.ts';
import { type ArtifactLocation, readArtifactLocation } from '../controller/artifacts/location.ts';
import type { ArtifactSettings } from '../controller/artifacts/open.ts';
import { usageError } from './exit.ts';
import { readDuration } from './options.ts';

export interface ArtifactOptions {
  artifacts?: ArtifactLocation;
  maxArtifactSize: number;
  artifactTtl: number;
}

/** How the artifacts of steps are kept. `otherwise`: where, when nobody says. */
export function artifactOptions(otherwise: string): Option[] {
  return [
    new Option(
      '--artifacts <where>',
      'where artifacts are kept: a folder, or s3://BUCKET/PREFIX?region=…&endpoint=… with $AWS_ACCESS_KEY_ID, ' +
        `$AWS_SECRET_ACCESS_KEY, and $AWS_SESSION_TOKEN of temporary ones (default: ${otherwise})`,
    ).argParser(readLocation),
    new Option('--max-artifact-size <size>', 'the most that one artifact may have, such as 500MiB')
      .argParser(readSize)
      .default(1024 ** 3, '1GiB'),
    new Option('--artifact-ttl <duration>', 'how long artifacts are kept after the end of their run')
      .argParser(readDuration)
      .default(30 * 24 * 3_600_000, '30d'),
  ];
}

/** What the options come to; null when nothing says where. @throws CliError for a bucket without credentials */
export function readArtifactOptions(
  { artifacts, maxArtifactSize, artifactTtl }: ArtifactOptions,
  credentials: S3Credentials | null,
  cwd: string,
  otherwise: string | null,
): ArtifactSettings | null {
  const where = artifacts ?? (otherwise === null ? null : { kind: 'directory' as const, path: otherwise });
  if (where === null) return null;
  if (where.kind === 's3' && credentials === null) {
    throw usageError('--artifacts names a bucket: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY');
  }
  const location = where.kind === 's3' ? where : { ...where, path: resolve(cwd, where.path) };
  return { location, credentials, maxBytes: maxArtifactSize, keptMs: artifactTtl };
}

function readLocation(text: string): ArtifactLocation {
  const read = readArtifactLocation(text);
  if ('problem' in read) throw new InvalidArgumentError(`${read.problem}.`);
  return read.location;
}

const units: Record<string, number> = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3, TiB: 1024 ** 4 };

function readSize(text: string): number {
  const [, count = '', unit = 'B'] = /^([1-9][0-9]{0,9})(B|KiB|MiB|GiB|TiB)?$/.exec(text) ?? [];
  if (count === '') throw new InvalidArgumentError('It must be a size such as 500MiB or 2GiB.');
  return Number(count) * (units[unit] ?? 1);
}
