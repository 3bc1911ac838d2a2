import { type Static, Type } from 'typebox';

/** One field that is wrong, and how to put it right. */
export const InvalidField = Type.Object(
  {
    path: Type.String({ description: 'Where, such as spec.steps[0].run; empty for the whole.' }),
    message: Type.String({ description: 'What is wrong and what to do.' }),
    rule: Type.String({ description: 'Kebab-case name of the rule that is broken.' }),
  },
  { ref: 'InvalidField' },
);
export type InvalidField = Static<typeof InvalidField>;

/** RFC 9457 problem details: the body of every error. */
export const ProblemDetails = Type.Object(
  {
    type: Type.String({ description: 'A URI that names the sort of problem; match on this.' }),
    title: Type.String({ description: 'The same for every problem of this type.' }),
    status: Type.Integer({ description: 'The HTTP status.' }),
    detail: Type.String({ description: 'What happened here and what to do.' }),
    instance: Type.String({ description: 'The path that was asked for.' }),
    problems: Type.Optional(Type.Array(InvalidField, { description: 'The fields that are wrong.' })),
  },
  { ref: 'Problem', description: 'RFC 9457 problem details.' },
);
export type ProblemDetails = Static<typeof ProblemDetails>;

/** Every sort of problem: the last part of its `type` URI, its title and its HTTP status. */
export const problemTypes = {
  'malformed-request': { status: 400, title: 'The request cannot be understood' },
  'invalid-parameter': { status: 400, title: 'A parameter is wrong' },
  unauthorized: { status: 401, title: 'A token is needed' },
  forbidden: { status: 403, title: 'The caller may not do this' },
  'forbidden-origin': { status: 403, title: 'Another site may not call this API' },
  'not-found': { status: 404, title: 'There is no such thing' },
  'method-not-allowed': { status: 405, title: 'The method is not allowed here' },
  conflict: { status: 409, title: 'The state of the object does not allow this' },
  'too-large': { status: 413, title: 'The body is too large' },
  'unsupported-media-type': { status: 415, title: 'The body must be JSON' },
  'misdirected-request': { status: 421, title: 'This host is not served here' },
  invalid: { status: 422, title: 'The object is not valid' },
  internal: { status: 500, title: 'Something went wrong in the controller' },
  unavailable: { status: 503, title: 'The controller cannot answer at present' },
} as const;
export type ProblemType = keyof typeof problemTypes;

/** The URI of a sort of problem. */
export function problemUri(type: ProblemType): string {
  return `https://windlass.dev/problems/${type}`;
}
