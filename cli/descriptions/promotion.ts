import type { Client } from '../../api/client.ts';
import { formatDiagnostic } from '../../controller/core/diagnostic.ts';
import { eventsSection, formatFields, section, when } from '../output/sections.ts';
import { formatTable } from '../output/table.ts';
import { none, printable, shortDigest } from '../output/text.ts';
import { eventsAfter } from '../resources/events.ts';
import type { View } from '../resources/resource.ts';

/** A promotion: what it changes, what every gate says, and what is wrong in its files. */
export async function describePromotion(client: Client, name: string, view: View): Promise<string> {
  const promotion = await client.promotion(name);
  const happened = await eventsAfter(client, { kind: 'Promotion', name }, 0);
  const { changes, gates, diagnostics, approvals } = promotion;
  return [
    formatFields([
      ['Name', promotion.name],
      ['Environment', promotion.environment],
      ['Ref', promotion.ref],
      ['Commit', promotion.commit],
      ['Phase', view.paint(promotion.phase)],
      ['Reason', promotion.reason],
      ['Message', promotion.message === null ? null : printable(promotion.message)],
      ['Made by', promotion.automatic ? 'the controller' : 'a person'],
      ['Created', when(promotion.createdAt, view)],
      ['Finished', promotion.finishedAt === null ? null : when(promotion.finishedAt, view)],
    ]),
    section(
      'Changes',
      changes.length === 0
        ? ''
        : formatTable(
            ['WORKFLOW', 'ACTION', 'FROM', 'TO'],
            changes.map((c) => [c.workflow, c.action, shortDigest(c.from ?? null), shortDigest(c.to ?? null)]),
          ),
    ),
    section(
      'Gates',
      gates.length === 0
        ? ''
        : formatTable(
            ['GATE', 'OPEN', 'EVIDENCE'],
            gates.map((g) => [g.gate, g.open ? 'yes' : 'no', printable(g.message) || none]),
          ),
    ),
    section('Diagnostics', diagnostics.map((d) => `${printable(formatDiagnostic(d))}\n`).join('')),
    section(
      'Approvals',
      approvals.map((a) => `${a.decision} by ${a.user}${a.comment ? `: ${a.comment}` : ''}\n`).join(''),
    ),
    eventsSection(happened, view),
  ].join('');
}
