import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ControllerWorld, startWorld } from '../../test/fixtures/controller.ts';

let world: ControllerWorld;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.stop());

test.each(['ftp://example.com/team.git', 'ext::sh -c id', '--upload-pack=id'])(
  'a source whose URL cannot be used (%s) says so in its status',
  async (url) => {
    const metadata = { namespace: 'default', name: 'bad' };
    await world.client.apply({ kind: 'WorkflowSource', metadata, spec: { url, branch: 'main' } });
    const { status } = await world.until(
      'it says what is wrong',
      () => world.client.get('WorkflowSource', metadata),
      (seen) =>
        seen.status?.observedGeneration === seen.metadata.generation && seen.status.conditions?.[0] !== undefined,
    );
    expect(status?.conditions).toMatchObject([
      { type: 'Ready', status: 'False', reason: 'UnsupportedUrl', message: expect.stringContaining(url) },
      { type: 'Stalled', status: 'True', reason: 'UnsupportedUrl' },
    ]);
  },
);
