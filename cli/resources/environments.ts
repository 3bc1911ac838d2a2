import type { EnvironmentResource } from '../../api/client.ts';
import { formatAge, none, shortRef } from '../output/text.ts';
import { readiness } from './conditions.ts';
import type { Resource } from './resource.ts';

export const environments: Resource<EnvironmentResource> = {
  names: ['environments', 'environment', 'env', 'wenv'],
  options: [],
  columns: [
    { head: 'NAME', value: (e) => e.name },
    { head: 'NAMESPACE', value: (e) => e.namespace },
    { head: 'AFTER', value: (e) => (e.spec.after ?? []).join(',') || none },
    { head: 'TRACKS', value: (e) => describeTrack(e.spec.track) },
    { head: 'ACTIVE', value: (e) => [...new Set(e.active.map((v) => shortRef(v.ref)))].join(',') || none },
    { head: 'WAITING', value: (e) => String(e.waiting) },
    { head: 'READY', value: (e, { paint }) => readiness(e.conditions, paint) },
    { head: 'AGE', value: (e, { now }) => formatAge(e.createdAt, now) },
  ],
  async list(client) {
    return { items: (await client.environments()).items, more: false };
  },
  get: (client, name) => client.environment(name),
  key: (e) => e.name,
};

/** `branch main`, `tag >=1.0.0`, `upstream`. */
export function describeTrack(track: EnvironmentResource['spec']['track']): string {
  if (track.branch !== undefined) return `branch ${track.branch}`;
  return track.tag === undefined ? 'upstream' : `tag ${track.tag.semver}`;
}
