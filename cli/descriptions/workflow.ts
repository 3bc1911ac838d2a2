import type { Client } from '../../api/client.ts';
import { formatData } from '../output/format.ts';
import { conditionsSection, formatFields, section, when } from '../output/sections.ts';
import { formatTable } from '../output/table.ts';
import type { View } from '../resources/resource.ts';
import { runs } from '../resources/runs.ts';
import { workflows } from '../resources/workflows.ts';

const latestRuns = 10;

/** A workflow: its inputs, its steps, and its latest runs. */
export async function describeWorkflow(
  client: Client,
  name: string,
  asked: string | undefined,
  view: View,
): Promise<string> {
  const found = await workflows.get?.(client, name, asked === undefined ? {} : { namespace: asked });
  const namespace = found?.namespace ?? '';
  const workflow = await client.workflow({ namespace, name });
  const { items } = await runs.list(client, { namespace, workflow: name, limit: latestRuns });
  const columns = runs.columns.filter((column) => column.head !== 'NAMESPACE' && column.head !== 'WORKFLOW');
  return [
    formatFields([
      ['Name', workflow.name],
      ['Namespace', workflow.namespace],
      ['Description', workflow.description],
      ['Environment', workflow.environment],
      ['Version', workflow.version],
      ['Digest', workflow.digest],
      ['Created', when(workflow.createdAt, view)],
    ]),
    section('Inputs', workflow.spec.inputs === undefined ? '' : formatData(workflow.spec.inputs, 'yaml')),
    section(
      'Steps',
      formatTable(
        ['STEP', 'KIND'],
        workflow.steps.map((step) => [step.name, step.kind]),
      ),
    ),
    section(
      'Latest runs',
      items.length === 0
        ? ''
        : formatTable(
            columns.map((column) => column.head),
            items.map((item) => columns.map((column) => column.value(item, view))),
          ),
    ),
    conditionsSection(workflow.conditions, view),
  ].join('');
}
