import { join } from 'node:path';
import { executorConformance } from '../../../test/conformance/executor.ts';
import { ProcessWorld } from '../../../test/fixtures/process-world.ts';

executorConformance('process', async (sink) => {
  const world = await ProcessWorld.create(sink);
  const begun = join(world.directory, 'begun');
  return {
    executor: world.executor(),
    bodies: {
      succeeds: {
        body: world.script('echo hello; echo "answer=42" >> "$WINDLASS_OUTPUT"'),
        outputs: { outcome: 'Succeeded', outputs: { text: 'answer=42\n' } },
      },
      yieldsText: (characters) => ({
        body: world.script(
          `printf 'text=' > "$WINDLASS_OUTPUT"; head -c ${characters} /dev/zero | tr '\\0' x >> "$WINDLASS_OUTPUT"`,
        ),
        outputs: { outcome: 'Succeeded', outputs: { text: `text=${'x'.repeat(characters)}` } },
      }),
      fails: world.script('echo no such order >&2; exit 3'),
      endless: world.script(`echo begun >> '${begun}'; sleep 1000`),
    },
    endlessBegun: () => world.fileAppears('begun'),
    endlessCount: async () => (await world.lines('begun')).length,
    dispose: () => world.dispose(),
  };
});
