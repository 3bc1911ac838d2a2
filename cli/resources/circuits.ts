import type { Circuit } from '../../api/client.ts';
import { formatSpan, none } from '../output/text.ts';
import type { Resource } from './resource.ts';

export const circuits: Resource<Circuit> = {
  names: ['circuits', 'circuit'],
  options: [],
  columns: [
    { head: 'HOST', value: (circuit) => circuit.host },
    { head: 'STATE', value: (circuit, { paint }) => paint(circuit.state) },
    { head: 'FAILURES', value: (circuit) => String(circuit.failures) },
    {
      head: 'OPENS IN',
      value: ({ openUntil, state }, { now }) =>
        openUntil === null || state !== 'Open' ? none : formatSpan(Date.parse(openUntil) - now),
    },
  ],
  list: async (client) => ({ items: (await client.circuits()).items, more: false }),
  key: (circuit) => circuit.host,
};
