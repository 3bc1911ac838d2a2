import { describe, expect, test } from 'vitest';
import { type Client, createClient } from '../api/client.ts';
import type { Kind } from '../crds/kinds.ts';
import { objectNamespace, projectNamespace } from './namespaces.ts';

/** In a cluster whose context is in namespace `mine`; the controller is asked nothing. */
function inCluster(project: string | undefined): Client {
  const nobody = () => Promise.reject(new Error('nobody is to be asked'));
  const client = createClient({ server: 'http://controller.invalid', token: null, fetch: nobody, project });
  return { ...client, defaultNamespace: 'mine' };
}

describe('where an object goes', () => {
  const project: Kind[] = ['Environment', 'WorkflowSource', 'Promotion'];
  test.each([
    // project, written, -n → of what lives in a project, of a workflow and a run
    ['team', undefined, undefined, 'team', 'mine'],
    ['team', undefined, 'dev', 'team', 'dev'],
    ['team', 'team', 'team', 'team', 'team'],
    [undefined, undefined, undefined, 'mine', 'mine'],
    [undefined, undefined, 'dev', 'dev', 'dev'],
    [undefined, 'there', undefined, 'there', 'there'],
  ])('--project %s, written %s, -n %s', async (named, written, asked, ofProject, other) => {
    for (const kind of project) {
      expect(await objectNamespace(inCluster(named), kind, written, asked), kind).toBe(ofProject);
    }
    for (const kind of ['Workflow', 'WorkflowRun'] as const) {
      expect(await objectNamespace(inCluster(named), kind, written, asked), kind).toBe(other);
    }
  });

  test('two that differ are refused, by the name of the option that is meant', async () => {
    const go = (kind: Kind) => objectNamespace(inCluster('team'), kind, 'there', 'dev');
    await expect(go('Environment')).rejects.toThrow('the Environment says namespace there, and --project says team');
    await expect(go('Workflow')).rejects.toThrow('the Workflow says namespace there, and -n says dev');
  });
});

test('the project that somebody named is not asked for', async () => {
  expect(await projectNamespace(inCluster('team'))).toBe('team');
});
