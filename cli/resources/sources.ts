import type { SourceResource } from '../../api/client.ts';
import { CliError, exitCodes } from '../exit.ts';
import { shortRef } from '../output/text.ts';
import { readiness } from './conditions.ts';
import type { Resource } from './resource.ts';

export const sources: Resource<SourceResource> = {
  names: ['sources', 'source', 'workflowsources', 'workflowsource', 'wsrc'],
  options: [],
  columns: [
    { head: 'NAME', value: (s) => s.name },
    { head: 'URL', value: (s) => s.url },
    { head: 'BRANCH', value: (s) => s.branch },
    { head: 'PATH', value: (s) => s.path },
    { head: 'COMMIT', value: (s) => shortRef(s.commit) },
    { head: 'REFUSED', value: (s) => String(s.refused.length) },
    { head: 'READY', value: (s, { paint }) => (s.suspended ? 'suspended' : readiness(s.conditions, paint)) },
  ],
  async list(client) {
    return { items: (await client.sources()).items, more: false };
  },
  async get(client, name) {
    const { items } = await client.sources();
    const found = items.find((source) => source.name === name);
    if (found) return found;
    const there = items.map((source) => source.name).join(', ') || 'none';
    throw new CliError(`there is no source ${name}; there is: ${there}`, exitCodes.notFound);
  },
  key: (s) => s.name,
};
