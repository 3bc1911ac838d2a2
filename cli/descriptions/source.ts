import type { Client } from '../../api/client.ts';
import { conditionsSection, formatFields, section } from '../output/sections.ts';
import { formatTable } from '../output/table.ts';
import { printable, shortRef } from '../output/text.ts';
import type { View } from '../resources/resource.ts';
import { sources } from '../resources/sources.ts';

/** A source: where it reads from, and the refs it refuses. */
export async function describeSource(client: Client, name: string, view: View): Promise<string> {
  const source = await sources.get?.(client, name, {});
  if (source === undefined) return '';
  return [
    formatFields([
      ['Name', source.name],
      ['URL', source.url],
      ['Branch', source.branch],
      ['Path', source.path],
      ['Commit', source.commit],
      ['Suspended', source.suspended ? 'yes' : null],
    ]),
    section(
      'Refused',
      source.refused.length === 0
        ? ''
        : formatTable(
            ['REF', 'COMMIT', 'REASON', 'MESSAGE'],
            source.refused.map((r) => [r.ref, shortRef(r.commit), r.reason, printable(r.message)]),
          ),
    ),
    conditionsSection(source.conditions, view),
  ].join('');
}
