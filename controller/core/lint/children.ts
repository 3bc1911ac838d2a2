import type { WorkflowSpec } from '../../../crds/workflow.ts';
import type { Diagnostic } from '../diagnostic.ts';
import { suggest } from '../expression/suggest.ts';
import { diagnose, type ParsedDocumentOf } from '../parse/documents.ts';
import type { Path } from '../parse/position.ts';

type Document = ParsedDocumentOf<'Workflow'>;

interface Child {
  name: string;
  path: Path;
}

/**
 * Child runs that can never be: the workflow is not in the ref, so no environment has it; or it would be its own ancestor.
 * @param documents every workflow of a ref, each without a mistake of its own
 */
export function lintChildren(documents: readonly Document[]): Diagnostic[] {
  const byName = new Map(documents.map((document) => [document.name, document]));
  const children = new Map(documents.map((document) => [document.name, childrenOf(document.object.spec)]));
  return documents.flatMap((document) =>
    (children.get(document.name) ?? []).flatMap((child) => {
      const say = (rule: string, message: string) => [
        diagnose(document.file, document, { path: child.path, rule, message }),
      ];
      if (!byName.has(child.name)) {
        const hint = suggest(child.name, byName.keys()) || '; child runs are of workflows of the same ref';
        return say('child-unknown', `there is no workflow "${child.name}" here${hint}`);
      }
      // One that names itself is told where it stands: child-of-itself.
      const way = child.name === document.name ? null : wayBack(children, child.name, document.name);
      return way === null ? [] : say('child-cycle', `workflows run each other in a circle: ${way.join(' -> ')}`);
    }),
  );
}

/** Names from `end` over `start` back to `end`, or null: breadth first, each workflow once. */
function wayBack(children: ReadonlyMap<string, Child[]>, start: string, end: string): string[] | null {
  const from = new Map([[start, end]]);
  for (const name of from.keys()) {
    if (name === end) break;
    for (const child of children.get(name) ?? []) if (!from.has(child.name)) from.set(child.name, name);
  }
  if (!from.has(end)) return null;
  const way = [end];
  for (let name = from.get(end); name !== undefined && name !== end; name = from.get(name)) way.unshift(name);
  return [end, ...way];
}

function childrenOf(spec: WorkflowSpec): Child[] {
  return (['steps', 'finally'] as const).flatMap((section) =>
    (spec[section] ?? []).flatMap((step, i) => {
      const path = ['spec', section, i];
      return [
        ...childOf(step, path),
        ...(step.fallback ?? []).flatMap((one, j) => childOf(one, [...path, 'fallback', j])),
        ...childOf(step.compensate ?? {}, [...path, 'compensate']),
      ];
    }),
  );
}

function childOf({ workflow }: { workflow?: { name: string } }, path: Path): Child[] {
  return workflow === undefined ? [] : [{ name: workflow.name, path: [...path, 'workflow', 'name'] }];
}
