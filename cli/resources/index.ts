import { suggest } from '../../controller/core/expression/suggest.ts';
import { usageError } from '../exit.ts';
import { artifactNames } from './artifacts.ts';
import { circuits } from './circuits.ts';
import { deadLetters } from './dead-letters.ts';
import { environments } from './environments.ts';
import { events } from './events.ts';
import { itemNames } from './items.ts';
import { promotions } from './promotions.ts';
import type { Resource } from './resource.ts';
import { runs } from './runs.ts';
import { sources } from './sources.ts';
import { stepNames } from './steps.ts';
import { versions } from './versions.ts';
import { workflows } from './workflows.ts';

// oxlint-disable-next-line no-explicit-any -- each goes with its own rows, which nothing here looks into
export type AnyResource = Resource<any>;

/** What `get` knows, beside the steps, items and artifacts of a run. */
export const resources: readonly AnyResource[] = [
  environments,
  workflows,
  runs,
  promotions,
  sources,
  versions,
  events,
  deadLetters,
  circuits,
];

/** All the words that `get` takes, for messages and completion. */
export const resourceWords: readonly string[] = [
  ...resources.map((r) => r.names[0] ?? ''),
  stepNames[0] ?? '',
  itemNames[0] ?? '',
  artifactNames[0] ?? '',
];

/** @throws CliError for a word that names nothing */
export function findResource(word: string): AnyResource {
  const found = resources.find((resource) => resource.names.includes(word.toLowerCase()));
  if (found) return found;
  const known = resources.flatMap((resource) => resource.names).concat(stepNames, itemNames, artifactNames);
  throw usageError(`there is no kind "${word}"${suggest(word, known) || `; there is: ${resourceWords.join(', ')}`}`);
}
