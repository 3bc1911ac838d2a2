import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { neverLost, RecordingSink, startAction, stopAction } from '../../test/conformance/executor.ts';
import { ProcessWorld } from '../../test/fixtures/process-world.ts';
import { systemClock } from '../runtime/clock.ts';
import type { Executor } from '../seams/executor.ts';
import { createExecutors } from './index.ts';

describe('all executors as one', () => {
  const sink = new RecordingSink();
  let world: ProcessWorld;
  let executor: Executor;

  beforeEach(async () => {
    world = await ProcessWorld.create(sink);
    executor = createExecutors({
      root: world.root,
      files: { files: async () => new Map() },
      artifacts: { store: world.artifacts, maxBytes: 1e6 },
      secrets: { read: async () => null },
      sink,
      clock: systemClock,
      lost: neverLost,
      env: { PATH: process.env['PATH'], TMPDIR: world.directory, SECRET_OF_THE_CONTROLLER: 'x' },
      troubled: () => {},
      allowLoopback: true,
      allowPrivate: true,
    });
  });
  afterEach(async () => {
    await executor.close();
    await world.dispose();
  });

  test('each kind goes to its own', async () => {
    expect(executor.kinds.toSorted()).toEqual(['container', 'http', 'run', 'template']);
    const script = startAction(world.script('echo "v=$LANG$SECRET_OF_THE_CONTROLLER" > "$WINDLASS_OUTPUT"'));
    const template = startAction({ kind: 'template', source: { text: '{{ n }}' }, vars: { n: 1 } });
    await executor.start(script);
    await executor.start(template);
    expect(await sink.end(script.key)).toEqual({ outcome: 'Succeeded', outputs: { text: 'v=C.UTF-8\n' } });
    expect(await sink.end(template.key)).toEqual({ outcome: 'Succeeded', outputs: { values: { text: '1' } } });
    await executor.forget(script.key);
  });

  test('a stop goes to its kind, and an unknown one is Stopped', async () => {
    const template = startAction({
      kind: 'template',
      source: { text: '{{ ("x" * 1000000000)|upper|length }}' },
      vars: {},
    });
    await executor.start(template);
    await executor.stop(stopAction(template, 0));
    expect(sink.endsOf(template.key)).toEqual([{ outcome: 'Stopped' }]);
    const unknown = { runId: 'nobody', step: 'work', item: -1, attempt: 1 };
    for (const kind of executor.kinds) await executor.stop({ ...stopAction(template, 0), key: unknown, kind });
    await sink.end(unknown, executor.kinds.length);
    expect(sink.endsOf(unknown)).toEqual(executor.kinds.map(() => ({ outcome: 'Stopped' })));
  });
});
