import { describe } from 'vitest';
import { executorConformance } from '../conformance/executor.ts';
import { findCluster } from '../fixtures/kubernetes.ts';
import { nodesOf, PodWorld } from '../fixtures/pod-world.ts';

const cluster = process.env['KUBECONFIG'] ? await findCluster() : null;
const nodes = await nodesOf(cluster);

describe.skipIf(nodes !== 'kubelet')('on a kubelet', () => {
  executorConformance('pod', async (sink) => {
    if (!cluster) throw new Error('there is no cluster');
    const world = await PodWorld.create(cluster, sink);
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
        endless: world.script('echo begun; sleep 1000'),
      },
      owned: (action) => world.owned(action),
      endlessBegun: () => world.until(() => world.began.size > 0),
      endlessCount: async () => world.began.size,
      dispose: () => world.dispose(),
    };
  });
});
