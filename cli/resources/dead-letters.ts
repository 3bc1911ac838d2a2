import type { DeadLetter } from '../../api/client.ts';
import { causeFirst, formatAge, oneLine } from '../output/text.ts';
import { firstItems } from './paging.ts';
import type { Resource } from './resource.ts';

const defaultLimit = 50;

export const deadLetters: Resource<DeadLetter> = {
  names: ['dead-letters', 'dead-letter'],
  options: ['namespace', 'workflow', 'limit'],
  columns: [
    { head: 'ID', value: (letter) => String(letter.id) },
    { head: 'NAMESPACE', value: (letter) => letter.namespace },
    { head: 'RUN', value: (letter) => letter.name },
    { head: 'WORKFLOW', value: (letter) => letter.workflow },
    { head: 'STATE', value: (letter, { paint }) => paint(letter.state) },
    { head: 'REDRIVES', value: (letter) => String(letter.redrives) },
    { head: 'AGE', value: (letter, { now }) => formatAge(letter.landedAt, now) },
    { head: 'ERROR', value: (letter) => (letter.error === null ? '' : oneLine(causeFirst(letter.error.message), 60)) },
  ],
  list: (client, { limit = defaultLimit, ...query }) =>
    firstItems((page) => client.deadLetters({ ...query, ...page }), limit),
  get: (client, id) => client.deadLetter(Number(id)),
  key: (letter) => String(letter.id),
};
