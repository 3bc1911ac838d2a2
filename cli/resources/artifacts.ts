import type { Client, RunArtifact } from '../../api/client.ts';
import { findRun } from '../namespaces.ts';
import { formatBytes, none, shortDigest } from '../output/text.ts';
import { firstItems } from './paging.ts';
import type { Column, Listing, ListOptions } from './resource.ts';

export const artifactNames = ['artifacts', 'artifact'];

export const artifactColumns: readonly Column<RunArtifact>[] = [
  { head: 'STEP', value: (a) => a.step },
  { head: 'ITEM', value: (a) => (a.item < 0 ? none : `${a.item}${a.label === null ? '' : ` ${a.label}`}`) },
  { head: 'NAME', value: (a) => a.name },
  { head: 'KIND', value: (a) => (a.folder ? 'folder' : 'file') },
  { head: 'SIZE', value: (a) => formatBytes(a.bytes) },
  { head: 'DIGEST', value: (a) => shortDigest(a.digest) },
];

export async function listArtifacts(
  client: Client,
  run: string,
  { namespace, limit }: ListOptions,
): Promise<Listing<RunArtifact>> {
  const key = await findRun(client, run, namespace);
  return firstItems((page) => client.artifacts(key, page), limit);
}
