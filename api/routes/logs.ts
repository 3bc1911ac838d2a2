import type { Hono } from 'hono';
import { type Static, Type } from 'typebox';
import { isFinished, wholeStep } from '../../controller/core/run/types.ts';
import { demand } from '../access.ts';
import type { AppDependencies } from '../dependencies.ts';
import { notFound, RequestProblem } from '../errors.ts';
import { followLogs, parseCursor } from '../log-follower.ts';
import { namespacedParams } from '../resources/shared.ts';
import { addRoute, only } from '../route.ts';
import { type KnownRun, findRun, runSteps } from '../runs.ts';
import { wantsEvents } from '../sse.ts';
import { stepParams } from './runs.ts';

const itemQuery = Type.Optional(
  Type.Integer({ minimum: 0, maximum: 9999, description: 'Of a forEach: the place of the item, from 0.' }),
);

/** Most output in one answer. */
const pageBytes = 256 * 1024;

const LogLine = Type.Object(
  {
    position: Type.Integer({ description: 'Just after this piece; pass as `position` to go on from here.' }),
    text: Type.String({ description: 'A piece of output, line ends included.' }),
  },
  { ref: 'LogLine' },
);

const LogPage = Type.Object(
  {
    step: Type.String(),
    item: Type.Integer({ description: 'The item of its forEach; -1: the step itself.' }),
    attempt: Type.Integer(),
    lines: Type.Array(LogLine),
    next: Type.Integer({ description: 'The position to go on from.' }),
    ended: Type.Boolean({ description: 'True when the attempt has ended and nothing is left after `next`.' }),
  },
  { ref: 'LogPage' },
);
export type LogPage = Static<typeof LogPage>;

const stream =
  'Events named `log`: id = an opaque cursor, data = {step, item, attempt, lines: [{position, text}]}; then one named `end`: ' +
  'data = {phase}. Sent as the output grows; Last-Event-ID resumes.';

/** Output of steps. */
export function logRoutes(app: Hono, deps: AppDependencies): void {
  addRoute(
    app,
    {
      method: 'GET',
      path: '/namespaces/:namespace/runs/:name/steps/:step/logs',
      id: 'getStepLogs',
      tag: 'logs',
      summary: 'Reads the output of a step, or follows it',
      description:
        'With Accept: text/event-stream the output of the attempt (without `attempt`: of all, in order) is sent as it ' +
        'grows, until the attempt (the step) has ended and all was sent.',
      params: stepParams,
      query: only({
        item: itemQuery,
        attempt: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000, description: 'Default: the last one.' })),
        position: Type.Integer({
          minimum: 0,
          maximum: Number.MAX_SAFE_INTEGER,
          default: 0,
          description: 'Where to begin; `next` of the page before.',
        }),
      }),
      response: { status: 200, description: 'A page of output, or a stream.', schema: LogPage, stream },
      problems: ['not-found'],
    },
    async ({ params, query: { item, attempt, position } }, c) => {
      await demand(c, 'get', 'WorkflowRun', params.namespace, params.name);
      const run = await findRun(deps, params.namespace, params.name);
      await demandStep(deps, run, params.name, params.step);
      if (wantsEvents(c)) {
        const cursor = parseCursor(c.req.header('last-event-id'));
        if (position > 0) {
          if (attempt === undefined) {
            throw new RequestProblem('invalid-parameter', 'A position belongs to an attempt: say which.');
          }
          const unit = item === undefined ? params.step : `${params.step}-${item}`;
          if (cursor.size === 0) cursor.set(unit, { attempt, position });
        }
        const only = {
          step: params.step,
          ...(item === undefined ? {} : { item }),
          ...(attempt === undefined ? {} : { attempt }),
        };
        return followLogs(c, deps, run, only, cursor);
      }
      const of = { step: params.step, ...(item === undefined ? {} : { items: [item] }) };
      const attempts = run.row ? await deps.store.runs.attempts(run.row.id, of) : [];
      const number = attempt ?? Math.max(1, ...attempts.map((a) => a.number));
      const row = attempts.find((a) => a.number === number);
      if (attempt !== undefined && !row) {
        throw notFound(
          `attempt ${attempt} of step ${params.step}`,
          attempts.map((a) => String(a.number)),
        );
      }
      const key = { runId: run.row?.id ?? '', step: params.step, item: item ?? wholeStep, attempt: number };
      const lines = run.row ? await deps.store.logs.read(key, position, pageBytes, deps.artifacts) : [];
      const next = lines.at(-1)?.position ?? position;
      const over = (row && row.finishedAt !== null) || (run.row !== null && isFinished(run.row.phase));
      const { step } = params;
      const ended = over && lines.length === 0;
      const page: LogPage = { step, item: item ?? wholeStep, attempt: number, lines, next, ended };
      return c.json(page);
    },
  );

  addRoute(
    app,
    {
      method: 'GET',
      path: '/namespaces/:namespace/runs/:name/logs',
      id: 'followRunLogs',
      tag: 'logs',
      summary: 'Follows the output of all steps of a run',
      description:
        'Server-sent events, whatever Accept says. Within a step attempts come in order; steps are interleaved. ' +
        'Items of a step with more than 100 are left out; ask for each by `item`.',
      params: namespacedParams,
      response: { status: 200, description: 'A stream.', stream },
      problems: ['not-found'],
    },
    async ({ params }, c) => {
      await demand(c, 'get', 'WorkflowRun', params.namespace, params.name);
      const run = await findRun(deps, params.namespace, params.name);
      return followLogs(c, deps, run, {}, parseCursor(c.req.header('last-event-id')));
    },
  );
}

async function demandStep(deps: AppDependencies, run: KnownRun, name: string, step: string): Promise<void> {
  // before the run is pinned its steps are not known; then there is simply no output yet
  if (!run.row) return;
  const names = (await runSteps(deps, run)).map((s) => s.name);
  if (!names.includes(step)) throw notFound(`step ${step} in run ${name}`, names);
}
