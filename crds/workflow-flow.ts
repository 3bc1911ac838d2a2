import { Type } from 'typebox';
import { Identifier, identifierPattern, Duration, MapOf, Strict, Text } from './metadata.ts';
import { Any, Expression } from './workflow-bodies.ts';

export const Lock = Strict({
  name: Type.String({
    minLength: 1,
    maxLength: 253,
    description: 'The lock, shared by the namespace; may contain ${{ }}.',
  }),
  limit: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 10_000,
      description: 'Most holders at once; where holders and waiters differ, the smallest counts. Default 1.',
    }),
  ),
});

export const Locks = (description: string) =>
  Type.Optional(Type.Array(Lock, { minItems: 1, maxItems: 20, description }));

export const ForEach = Strict(
  {
    items: Type.Optional(Any('A list, a map (each item has key and value), or one ${{ }} that yields one.')),
    range: Type.Optional(
      Strict(
        {
          from: Type.Optional(Any('First number, or one ${{ }}. Default 0.')),
          to: Any('Where it ends; not itself among the numbers. A number, or one ${{ }}.'),
          step: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000, description: 'Default 1.' })),
        },
        { description: 'Whole numbers from `from` up to, but without, `to`.' },
      ),
    ),
    matrix: Type.Optional(
      MapOf(Any('A list, or one ${{ }} that yields one.'), {
        description: 'Every combination of these lists; each item is a map of the same keys.',
        keys: identifierPattern,
        maxProperties: 10,
      }),
    ),
    as: Type.Optional(Identifier('The name of the item in expressions. Default item; `index` is its place, from 0.')),
    parallelism: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 10_000, description: 'Most items at once. Default: no limit of its own.' }),
    ),
    failFast: Type.Optional(
      Type.Boolean({
        description: 'True (the default): the first failed item stops the others. False: all run, then the step fails.',
      }),
    ),
  },
  {
    description:
      'Runs the step once for each item, at most 10,000. Outputs: a list in the order of items, null where one failed.',
  },
);

export const Until = Strict(
  {
    condition: Expression("CEL that ends the repetition; may read the step's own outputs."),
    limit: Type.Integer({ minimum: 1, maximum: 10_000, description: 'Most repetitions; after them the step fails.' }),
    interval: Type.Optional(Duration('Pause between repetitions. Default none.')),
  },
  { description: 'Repeats the step until a condition holds.' },
);

export const Cache = Strict(
  {
    key: Type.Optional(
      Type.Array(Text('A part; may contain ${{ }}.', 4096), {
        maxItems: 20,
        description: 'Added to what the key has by itself: body, env, files, input artifacts and image.',
      }),
    ),
    version: Type.Optional(Text('Another one makes all older entries miss.', 253)),
    ttl: Type.Optional(Duration('How long an entry is good. Default 7d.')),
    ignoreSecrets: Type.Optional(
      Type.Boolean({ description: 'Allows a step with secrets, whose values are no part of the key. Default false.' }),
    ),
  },
  { description: 'Takes the outputs of an earlier success with the same key instead of running.' },
);

const artifactName = '^[a-z][a-z0-9_]{0,39}$';
export const Artifacts = Strict(
  {
    out: Type.Optional(
      MapOf(Text('A file or folder, relative to the working directory.', 1024), {
        description: 'What is kept when the step succeeds, by name.',
        keys: artifactName,
        maxProperties: 50,
      }),
    ),
    in: Type.Optional(
      MapOf(Type.String({ pattern: '^[a-z][a-z0-9_]{0,39}\\.[a-z][a-z0-9_]{0,39}$', description: 'STEP.NAME' }), {
        description: 'What is put where before it begins: path, relative to the working directory, to STEP.NAME.',
        keys: '^[A-Za-z0-9._/-]{1,512}$',
        maxProperties: 50,
      }),
    ),
  },
  { description: 'Files that steps hand to each other.' },
);
