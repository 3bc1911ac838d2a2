import { Type } from 'typebox';
import { Text } from './metadata.ts';

/** Who must approve, and how many: a step's run or a promotion. */
export const approvers = {
  groups: Type.Optional(
    Type.Array(Text('A group.', 253), {
      minItems: 1,
      maxItems: 50,
      description: 'Approvers must be in one of these. Default: anyone who may approve.',
    }),
  ),
  count: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 20, description: 'How many people must approve. Default 1.' }),
  ),
};
