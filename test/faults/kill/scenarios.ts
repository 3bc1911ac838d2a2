import type { StepSpec, WorkflowSpec } from '../../../crds/workflow.ts';

/** What a person does to a run meanwhile. */
export type Intent = 'cancel' | 'pause' | 'approve' | 'retry';

export interface Scenario {
  spec: WorkflowSpec;
  /** How often it is picked, of all. */
  weight: number;
  intent?: Intent;
  /** How its runs may end. */
  phases: string[];
  /** How steps of a run that ended so may have ended; others: Succeeded. */
  steps?: Record<string, string[]>;
  /** What a run with this `n` yields. */
  outputs?(n: number): Record<string, unknown>;
  /** A step that only one run of those with the same outputs succeeds in; the others take what it has left. */
  fills?: string;
}

/** Where scripts leave their traces. */
export interface Traces {
  /** Every attempt appends its name to this file, first of all. */
  ledger: string;
  /** Folder of what excludes itself: whoever finds a room taken fails with 9. */
  rooms: string;
}

export const lanes = 6;

type Step = Partial<StepSpec> & { name: string };

/** Workflows that together use all of the engine, and how their runs must end whatever happens to the controllers. */
export function scenarios({ ledger, rooms }: Traces): Record<string, Scenario> {
  const noted = `printf '%s\\n' "$WINDLASS_ATTEMPT" >> '${ledger}'\n`;
  const script = (text: string) => noted + text;
  const run = (name: string, text: string, more: Partial<StepSpec> = {}): Step => ({
    name,
    run: script(text),
    ...more,
  });
  const other = (text: string) => ({ run: script(text) });
  const hold = (needs: string[], more: Partial<StepSpec> = {}): Step => ({
    name: 'hold',
    needs,
    wait: { until: '${{ inputs.until }}' },
    ...more,
  });
  const number = { n: { type: 'integer' } };
  const yields = (expression: string) => `echo "n=$((${expression}))" >> "$WINDLASS_OUTPUT"\n`;
  const enter = (room: string) => `mkdir '${rooms}'/${room} || exit 9\n`;
  const leave = (room: string) => `rmdir '${rooms}'/${room}\n`;
  const workflow = (steps: Step[], more: Partial<WorkflowSpec> = {}): WorkflowSpec => ({
    inputs: { n: { type: 'integer' }, lane: { type: 'integer' }, until: { type: 'string' } },
    steps,
    ...more,
  });
  const n = { N: '${{ inputs.n }}' };
  const lane = { LANE: '${{ inputs.lane }}' };
  const tell = run('tell', 'echo "outcome=$OUTCOME" >> "$WINDLASS_OUTPUT"', {
    env: { OUTCOME: '${{ run.outcome }}' },
    outputs: { outcome: { type: 'string' } },
  });

  return {
    chain: {
      weight: 4,
      phases: ['Succeeded'],
      spec: workflow(
        [
          run('first', yields('N + 1'), { env: n, outputs: number }),
          hold(['first']),
          run('second', yields('N + 1'), {
            needs: ['hold'],
            env: { N: '${{ steps.first.outputs.n }}' },
            outputs: number,
          }),
          { name: 'text', template: { text: 'n={{ n }}', vars: { n: '${{ steps.second.outputs.n }}' } } },
          run('third', yields('${TEXT#n=} + 1'), { env: { TEXT: '${{ steps.text.outputs.text }}' }, outputs: number }),
        ],
        { outputs: { n: '${{ steps.third.outputs.n }}' } },
      ),
      outputs: (given) => ({ n: given + 3 }),
    },
    fan: {
      weight: 2,
      phases: ['Succeeded'],
      spec: workflow(
        [
          run('items', `[ $((I % 2)) = 0 ] || [ "$WINDLASS_ATTEMPT_NUMBER" -gt 1 ] || exit 7\n${yields('N + I')}`, {
            forEach: { range: { to: 5 }, as: 'i', parallelism: 3 },
            env: { ...n, I: '${{ i }}' },
            outputs: number,
            retry: { limit: 2, backoff: { initial: '300ms' } },
          }),
          hold(['items']),
          run('last', 'true', { needs: ['hold'] }),
        ],
        { outputs: { all: '${{ steps.items.outputs }}' } },
      ),
      outputs: (given) => ({ all: [0, 1, 2, 3, 4].map((i) => ({ n: given + i })) }),
    },
    fallback: {
      weight: 2,
      phases: ['Degraded'],
      spec: workflow(
        [
          hold([]),
          run('flaky', 'exit 3', {
            needs: ['hold'],
            retry: { limit: 1, backoff: { initial: '200ms' } },
            env: n,
            outputs: number,
            fallback: [other('exit 4'), other(yields('N * 2'))],
          }),
        ],
        { outputs: { n: '${{ steps.flaky.outputs.n }}' } },
      ),
      outputs: (given) => ({ n: given * 2 }),
    },
    saga: {
      weight: 3,
      phases: ['Failed'],
      steps: { book: ['Compensated'], pay: ['Compensated'], ship: ['Failed'] },
      spec: workflow(
        [
          run('book', 'true', { compensate: other('true') }),
          hold(['book']),
          run('pay', 'true', { needs: ['hold'], compensate: other('true') }),
          run('ship', 'exit 5', { needs: ['pay'] }),
        ],
        { finally: [tell] },
      ),
    },
    lock: {
      weight: 2,
      phases: ['Succeeded'],
      spec: workflow([
        hold([]),
        run('alone', `${enter('lock-$LANE')}sleep 0.1\n${leave('lock-$LANE')}`, {
          needs: ['hold'],
          env: lane,
          locks: [{ name: 'lane-${{ inputs.lane }}' }, { name: 'pool', limit: 4 }],
        }),
      ]),
    },
    group: {
      weight: 1,
      phases: ['Succeeded'],
      spec: workflow(
        [
          run('enter', enter('group-$LANE'), { env: lane }),
          { name: 'stay', needs: ['enter'], wait: { for: '300ms' } },
          run('leave', leave('group-$LANE'), { needs: ['stay'], env: lane }),
        ],
        { concurrency: { group: 'group-${{ inputs.lane }}', policy: 'Queue' } },
      ),
    },
    newest: {
      weight: 1,
      phases: ['Succeeded', 'Cancelled'],
      steps: { enter: ['Succeeded', 'Cancelled', 'Pending'], hold: ['Succeeded', 'Cancelled', 'Pending'] },
      spec: workflow([run('enter', enter('newest-$LANE'), { env: lane }), hold(['enter'])], {
        concurrency: { group: 'newest-${{ inputs.lane }}', policy: 'CancelRunning' },
        finally: [run('leave', `rmdir '${rooms}'/newest-$LANE || true`, { env: lane })],
      }),
    },
    parent: {
      weight: 2,
      phases: ['Succeeded'],
      spec: workflow(
        [
          {
            name: 'children',
            forEach: { range: { to: 2 }, as: 'i' },
            workflow: {
              name: 'child',
              inputs: { n: '${{ inputs.n + i }}', lane: '${{ inputs.lane }}', until: '${{ inputs.until }}' },
            },
          },
          run('last', 'true', { needs: ['children'] }),
        ],
        { outputs: { all: '${{ steps.children.outputs }}' } },
      ),
      outputs: (given) => ({ all: [0, 1].map((i) => ({ n: given + i + 1 })) }),
    },
    child: {
      weight: 0,
      phases: ['Succeeded'],
      spec: workflow(
        [
          run('first', 'true'),
          hold(['first']),
          run('second', yields('N + 1'), { needs: ['hold'], env: n, outputs: number }),
        ],
        { outputs: { n: '${{ steps.second.outputs.n }}' } },
      ),
      outputs: (given) => ({ n: given + 1 }),
    },
    poll: {
      weight: 2,
      phases: ['Succeeded'],
      spec: workflow([
        hold([]),
        run('look', yields('WINDLASS_ATTEMPT_NUMBER'), {
          needs: ['hold'],
          outputs: number,
          until: { condition: 'steps.look.outputs.n >= 3', limit: 20, interval: '300ms' },
        }),
      ]),
    },
    cancel: {
      weight: 2,
      intent: 'cancel',
      phases: ['Cancelled'],
      steps: { first: ['Compensated', 'Cancelled', 'Pending'], long: ['Cancelled', 'Pending'] },
      spec: workflow(
        [
          run('first', 'true', { compensate: other('true') }),
          // What it leaves to itself must end with it.
          run('long', 'sleep 900 &\nsetsid sleep 900 &\nwait', { needs: ['first'] }),
        ],
        { finally: [tell] },
      ),
    },
    pause: {
      weight: 2,
      intent: 'pause',
      phases: ['Succeeded'],
      spec: workflow([
        run('first', 'sleep 0.2'),
        hold(['first']),
        run('second', 'true', { needs: ['hold'] }),
        run('third', 'true', { needs: ['second'] }),
      ]),
    },
    approve: {
      weight: 1,
      intent: 'approve',
      phases: ['Succeeded'],
      spec: workflow([
        run('first', 'true'),
        { name: 'ask', needs: ['first'], approval: { count: 1 } },
        run('second', 'true', { needs: ['ask'] }),
      ]),
    },
    again: {
      weight: 2,
      intent: 'retry',
      phases: ['Succeeded'],
      spec: workflow([
        run('first', 'true'),
        hold(['first']),
        run('second', `[ -e '${rooms}'/again-"$WINDLASS_RUN" ] || exit 6`, { needs: ['hold'] }),
        run('third', 'true', { needs: ['second'] }),
      ]),
    },
    late: {
      weight: 1,
      phases: ['Failed'],
      steps: { slow: ['Failed'], after: ['Skipped'] },
      spec: workflow([
        hold([]),
        run('slow', 'sleep 900', {
          needs: ['hold'],
          timeout: '1s',
          retry: { limit: 1, backoff: { initial: '200ms' } },
        }),
        run('after', 'true', { needs: ['slow'] }),
      ]),
    },
    cache: {
      weight: 2,
      phases: ['Succeeded'],
      steps: { fill: ['Succeeded', 'Cached'] },
      fills: 'fill',
      spec: workflow(
        [
          hold([]),
          run('fill', `sleep 0.3\n${yields('LANE * 7')}`, {
            needs: ['hold'],
            env: lane,
            outputs: number,
            cache: { ttl: '1h' },
          }),
        ],
        { outputs: { n: '${{ steps.fill.outputs.n }}', lane: '${{ inputs.lane }}' } },
      ),
    },
    relay: {
      weight: 1,
      phases: ['Succeeded'],
      spec: workflow(
        [
          run('make', 'echo "$N" > note.txt', { env: n, artifacts: { out: { note: 'note.txt' } } }),
          hold(['make']),
          run('take', yields('$(cat got.txt) + 1'), {
            needs: ['hold', 'make'],
            outputs: number,
            artifacts: { in: { 'got.txt': 'make.note' } },
          }),
        ],
        { outputs: { n: '${{ steps.take.outputs.n }}' } },
      ),
      outputs: (given) => ({ n: given + 1 }),
    },
  };
}
