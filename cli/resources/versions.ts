import type { VersionName } from '../../api/client.ts';
import { formatAge, shortDigest, shortRef } from '../output/text.ts';
import { firstItems } from './paging.ts';
import type { Resource } from './resource.ts';

const defaultLimit = 50;

export const versions: Resource<VersionName> = {
  names: ['versions', 'version'],
  options: ['workflow', 'limit'],
  columns: [
    { head: 'WORKFLOW', value: (v) => v.workflow },
    { head: 'REF', value: (v) => shortRef(v.ref) },
    { head: 'DIGEST', value: (v) => shortDigest(v.digest) },
    { head: 'COMMIT', value: (v) => shortRef(v.commit) },
    { head: 'AGE', value: (v, { now }) => formatAge(v.at, now) },
  ],
  list: (client, { workflow, limit = defaultLimit }) =>
    firstItems((page) => client.versions({ ...page, ...(workflow ? { workflow } : {}) }), limit),
  key: (v) => `${v.workflow} ${v.ref} ${v.digest}`,
};
