import type { Client } from '../../api/client.ts';
import { formatData } from '../output/format.ts';
import { conditionsSection, formatFields, section, when } from '../output/sections.ts';
import { formatTable } from '../output/table.ts';
import { formatAge, shortDigest, shortRef } from '../output/text.ts';
import { describeTrack } from '../resources/environments.ts';
import { promotions } from '../resources/promotions.ts';
import type { View } from '../resources/resource.ts';

const latestPromotions = 10;

/** An environment: what is active in it, what waits, and its gates. */
export async function describeEnvironment(client: Client, name: string, view: View): Promise<string> {
  const environment = await client.environment(name);
  const { spec, active } = environment;
  const { items } = await promotions.list(client, { environment: name, limit: latestPromotions });
  const columns = promotions.columns.filter((column) => column.head !== 'ENVIRONMENT');
  return [
    formatFields([
      ['Name', environment.name],
      ['Namespace', environment.namespace],
      ['Source', spec.source.name],
      ['Tracks', describeTrack(spec.track)],
      ['After', spec.after?.join(', ') ?? null],
      ['Promotes', spec.suspend ? 'nothing (suspended)' : spec.promote === 'Manual' ? 'by hand' : 'by itself'],
      ['Waiting', String(environment.waiting)],
      ['Created', when(environment.createdAt, view)],
    ]),
    section('Gates', spec.gates === undefined ? '' : formatData(spec.gates, 'yaml')),
    section('Values', spec.values === undefined ? '' : formatData(spec.values, 'yaml')),
    section(
      'Active',
      active.length === 0
        ? ''
        : formatTable(
            ['WORKFLOW', 'VERSION', 'DIGEST', 'SINCE'],
            active.map((v) => [v.workflow, shortRef(v.ref), shortDigest(v.digest), formatAge(v.since, view.now)]),
          ),
    ),
    section(
      `Latest promotions`,
      items.length === 0
        ? ''
        : formatTable(
            columns.map((column) => column.head),
            items.map((item) => columns.map((column) => column.value(item, view))),
          ),
    ),
    conditionsSection(environment.conditions, view),
  ].join('');
}
