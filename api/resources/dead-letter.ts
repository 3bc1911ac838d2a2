import { type Static, Type } from 'typebox';
import type { DeadLetter } from '../../controller/store/types.ts';
import { only } from '../route.ts';
import { AnyObject, ErrorResource, iso, isoOrNull, Nullable, NullableTime, OneOf, TimeString } from './shared.ts';

export const deadLetterStates = ['Waiting', 'Redriven', 'Resolved', 'Discarded'] as const;

export const DeadLetterResource = Type.Object(
  {
    id: Type.Integer(),
    kind: Type.Literal('run', { description: 'What failed for good.' }),
    namespace: Type.String(),
    name: Type.String({ description: 'Of the run.' }),
    workflow: Type.String(),
    runId: Type.String({ description: 'Of the run that failed; of several, as which it was redriven, the last.' }),
    execution: Type.Integer({ description: 'Which execution of it.' }),
    inputs: AnyObject('What it was started with.'),
    priority: Type.Integer({ description: 'That of the run.' }),
    digest: Type.String({ description: 'The version that ran.' }),
    error: Nullable(ErrorResource, 'Why it failed.'),
    state: OneOf(
      deadLetterStates,
      'Waiting: nothing is done about it. Redriven: it was started again and goes on. Resolved: that ended well. Discarded: somebody put it aside.',
    ),
    landedAt: TimeString('When it landed here.'),
    redrives: Type.Integer({ description: 'How often somebody began to start it again.' }),
    redrivenAt: NullableTime('When that was last.'),
    redrivenBy: Nullable(Type.String(), 'By whom.'),
    redrivenName: Nullable(Type.String(), 'As which run.'),
    redrivenAs: Nullable(
      Type.String(),
      'Its id; null beside a name: that was cut short, and goes on when it is asked again.',
    ),
    closedAt: NullableTime('When it was resolved or discarded.'),
    closedBy: Nullable(Type.String(), 'Who discarded it.'),
    closedReason: Nullable(Type.String(), 'Why it was discarded.'),
  },
  { ref: 'DeadLetter' },
);
export type DeadLetterResource = Static<typeof DeadLetterResource>;

export const Redrive = only(
  {
    ids: Type.Array(Type.Integer({ minimum: 1 }), {
      minItems: 1,
      maxItems: 100,
      uniqueItems: true,
      description: 'Which.',
    }),
    perSecond: Type.Integer({
      minimum: 1,
      maximum: 50,
      default: 10,
      description: 'At most so many are started each second. Default 10.',
    }),
  },
  { ref: 'Redrive' },
);

export const Redriven = Type.Object(
  {
    items: Type.Array(
      Type.Object(
        {
          id: Type.Integer(),
          run: Nullable(Type.String(), 'The run that goes on or was created; null when it was refused.'),
          namespace: Nullable(Type.String(), 'Of that run.'),
          problem: Nullable(Type.String(), 'Why nothing was started.'),
        },
        { ref: 'RedriveResult' },
      ),
    ),
  },
  { ref: 'RedriveResults' },
);
export type Redriven = Static<typeof Redriven>;

export function deadLetterResource(letter: DeadLetter): DeadLetterResource {
  const { payload } = letter;
  return {
    id: letter.id,
    kind: letter.kind,
    namespace: letter.namespace,
    name: letter.name,
    workflow: letter.workflow,
    runId: letter.subject,
    execution: letter.execution,
    inputs: payload.inputs,
    priority: payload.priority,
    digest: payload.digest,
    error: letter.error,
    state: letter.state,
    landedAt: iso(letter.landedAt),
    redrives: letter.redrives,
    redrivenAt: isoOrNull(letter.redrivenAt),
    redrivenBy: letter.redrivenBy,
    redrivenName: letter.redrivenName,
    redrivenAs: letter.redrivenAs,
    closedAt: isoOrNull(letter.closedAt),
    closedBy: letter.closedBy,
    closedReason: letter.closedReason,
  };
}
