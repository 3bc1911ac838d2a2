import { ApiProblem } from '../api/client.ts';
import { ObjectConflict, ObjectRefused } from '../controller/seams/objects.ts';

/** What the exit codes mean: a contract with scripts, shown by --help and in docs/reference/cli.md. */
export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  notFound: 3,
  refused: 4,
  unreachable: 5,
  timedOut: 6,
  interrupted: 130,
} as const;

export const exitCodeMeanings: readonly [code: number, meaning: string][] = [
  [exitCodes.ok, 'done'],
  [
    exitCodes.failed,
    'what was asked about failed: the run did not succeed, lint found errors, the controller cannot start',
  ],
  [exitCodes.usage, 'wrong usage: an unknown option, a missing argument, a name that could mean several things'],
  [exitCodes.notFound, 'there is no such thing'],
  [
    exitCodes.refused,
    'the controller refused: not valid, in conflict with the state, a wrong token, or a right that is missing',
  ],
  [exitCodes.unreachable, 'no controller answers'],
  [exitCodes.timedOut, '--timeout was over first'],
  [exitCodes.interrupted, 'interrupted by Ctrl-C'],
];

/** What an invocation ends with that was ended by its signal. */
export function codeOfSignal(signal: AbortSignal): number {
  return signal.reason as number;
}

/** A failure with something to say to the user. */
export class CliError extends Error {
  override name = 'CliError';
  readonly exitCode: number;
  constructor(message: string, exitCode: number, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
}

export function usageError(message: string): CliError {
  return new CliError(message, exitCodes.usage);
}

/** What to print on stderr and to end with, for whatever a command threw. */
export function describeFailure(error: unknown): { message: string; exitCode: number } {
  if (error instanceof CliError) return { message: error.message, exitCode: error.exitCode };
  if (error instanceof ApiProblem) return { message: describeProblem(error), exitCode: codeOfStatus(error.status) };
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof ObjectConflict) {
    return { message, exitCode: error.reason === 'NotFound' ? exitCodes.notFound : exitCodes.refused };
  }
  // Thrown behind a dynamic import, so the name stands for the class.
  if (error instanceof Error && error.name === 'UnusableKubeconfig') return { message, exitCode: exitCodes.usage };
  if (error instanceof Error && error.name === 'RequestProblem') return { message, exitCode: exitCodes.refused };
  if (error instanceof ObjectRefused) return { message, exitCode: exitCodes.refused };
  if (isConnectionFailure(error)) {
    return { message: `the controller does not answer (${causeOf(error)})`, exitCode: exitCodes.unreachable };
  }
  return { message, exitCode: exitCodes.failed };
}

/** fetch's way to say that there was no answer, or that it was cut off. */
export function isConnectionFailure(error: unknown): boolean {
  return error instanceof TypeError && (/fetch failed|terminated/.test(error.message) || error.cause !== undefined);
}

function causeOf(error: unknown): string {
  const { cause } = error as Error;
  const { code, message } = (cause ?? {}) as { code?: string; message?: string };
  return code ?? message ?? (error as Error).message;
}

function describeProblem({ problem }: ApiProblem): string {
  const fields = (problem.problems ?? []).map(({ path, message }) => `\n  ${path === '' ? '' : `${path}: `}${message}`);
  // The detail of an invalid object repeats its fields in one long line.
  return fields.length > 1 ? `${problem.detail.split(':', 1)[0]}:${fields.join('')}` : problem.detail;
}

function codeOfStatus(status: number): number {
  if (status === 400) return exitCodes.usage;
  if (status === 404) return exitCodes.notFound;
  return status >= 500 ? exitCodes.unreachable : exitCodes.refused;
}
