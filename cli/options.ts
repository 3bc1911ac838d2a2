import { InvalidArgumentError, Option } from 'commander';
import { durationPattern } from '../crds/metadata.ts';
import { parseDuration } from '../controller/core/duration.ts';

export function namespaceOption(description: string): Option {
  return new Option('-n, --namespace <name>', description);
}

/** Reads `90s` or `1h30m` as milliseconds. */
export function readDuration(text: string): number {
  if (!new RegExp(durationPattern).test(text)) {
    throw new InvalidArgumentError('It must be a length of time such as 90s, 10m or 1h30m.');
  }
  return parseDuration(text);
}

/** Collects a repeatable option. */
export function collect(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value];
}
