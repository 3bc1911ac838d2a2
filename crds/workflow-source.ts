import { type Static, Type } from 'typebox';
import type { KindDefinition, WindlassObject } from './metadata.ts';
import { Duration, ObjectName, reconciledStatus, Strict, Text } from './metadata.ts';

export const WorkflowSourceSpec = Strict(
  {
    url: Text('The repository: https, ssh, or (on a laptop) file or a path.', 2048),
    branch: Text('The branch that merges go to.', 255),
    path: Type.Optional(Text('Folder of the workflow files in the repository. Default workflows.', 512)),
    tags: Type.Optional(
      Type.Array(Text('A glob over tag names.', 255), {
        minItems: 1,
        maxItems: 20,
        description: 'Which tags are read. Default ["*", "*/*"].',
      }),
    ),
    interval: Type.Optional(Duration('How often to look for changes when nothing notifies. Default 1m.')),
    secretRef: Type.Optional(
      Strict(
        { name: ObjectName('A Secret with identity and known_hosts, or username and password.') },
        { description: 'Credentials for the repository.' },
      ),
    ),
    suspend: Type.Optional(Type.Boolean({ description: 'True stops fetching.' })),
  },
  { description: 'A git repository of workflows, and how it is read.' },
);
export type WorkflowSourceSpec = Static<typeof WorkflowSourceSpec>;

const RefusedRef = Strict({
  ref: Text('The tag or branch.', 255),
  commit: Text('The commit that was refused.', 64),
  reason: Text('TagMoved, NotSemver, InvalidRef, ….', 64),
  message: Text('What is wrong and what to do.', 4096),
});

export const WorkflowSourceStatus = Strict(
  {
    ...reconciledStatus,
    commit: Type.Optional(Text('The tip of the branch at the last fetch.', 64)),
    shortCommit: Type.Optional(Text('Its first 12 digits.', 12)),
    refused: Type.Optional(
      Type.Array(RefusedRef, { maxItems: 50, description: 'Refs that are not followed, and why.' }),
    ),
  },
  { description: 'What was read of it last, and what of that is not followed.' },
);
export type WorkflowSourceStatus = Static<typeof WorkflowSourceStatus>;
export type WorkflowSource = WindlassObject<'WorkflowSource', WorkflowSourceSpec, WorkflowSourceStatus>;

export const workflowSourceKind: KindDefinition = {
  kind: 'WorkflowSource',
  plural: 'workflowsources',
  singular: 'workflowsource',
  shortNames: ['wsrc'],
  spec: WorkflowSourceSpec,
  status: WorkflowSourceStatus,
  atomicSpec: false,
  rules: [],
  printerColumns: [
    { name: 'URL', type: 'string', jsonPath: '.spec.url' },
    { name: 'Branch', type: 'string', jsonPath: '.spec.branch' },
    { name: 'Commit', type: 'string', jsonPath: '.status.shortCommit' },
    { name: 'Ready', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].status' },
    { name: 'Reason', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].reason' },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
  ],
};
