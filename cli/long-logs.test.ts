import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { windlass } from '../test/fixtures/cli.ts';
import { startQuietLaptop } from '../test/fixtures/laptop.ts';
import { createRepository } from '../test/fixtures/repository.ts';

const workflow = {
  apiVersion: 'windlass.dev/v1alpha1',
  kind: 'Workflow',
  metadata: { name: 'prints' },
  spec: { steps: [{ name: 'much', run: "yes 'ä line of output' | head -n 260000; echo the end" }] },
};
const whole = `${'ä line of output\n'.repeat(260_000)}the end\n`;

test('logs of a step that prints much are whole, whichever way they are read', async () => {
  const root = await mkdtemp(join(tmpdir(), 'windlass-cli-'));
  const repository = await createRepository(root);
  await repository.commit({ 'workflows/prints.yaml': JSON.stringify(workflow) }, 'first');
  const laptop = await startQuietLaptop(root, repository.url);
  try {
    const cli = (...args: string[]) => windlass(args, { cwd: repository.work, env: { HOME: root } });
    // The workflow is there a moment after the controller.
    while ((await cli('get', 'workflow', 'prints')).code !== 0) await new Promise(setImmediate);
    expect(await cli('run', 'prints', '--wait', '--name', 'first')).toMatchObject({ code: 0 });
    expect((await cli('logs', 'first', 'much')).stdout === whole).toBe(true);
    expect((await cli('logs', '-f', 'first', 'much')).stdout === whole).toBe(true);
  } finally {
    await laptop.controller.stop(0);
    await rm(root, { recursive: true, force: true });
  }
}, 120_000);
