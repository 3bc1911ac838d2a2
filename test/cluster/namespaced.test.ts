import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { RunningController } from '../../controller/start.ts';
import { invoke } from '../fixtures/cli.ts';
import { type ClusterWorld, startClusterWorld } from '../fixtures/cluster-world.ts';

const started = await startClusterWorld();
afterAll(() => started?.stop());

function world(): ClusterWorld {
  if (!started) throw new Error('there is no API server');
  return started;
}

const greet = {
  apiVersion: 'windlass.dev/v1alpha1',
  kind: 'Workflow',
  metadata: { name: 'greet' },
  spec: { steps: [{ name: 'a', wait: { for: '1ms' } }] },
};
const run = { ...greet, kind: 'WorkflowRun', metadata: { name: 'r' }, spec: { workflow: 'greet' } };

describe.skipIf(!started)('two controllers in one cluster, each for namespaces of its own', () => {
  let cwd = '';
  let [one, two, three] = ['', '', ''];
  let [first, second]: RunningController[] = [];
  let token = '';

  beforeAll(async () => {
    cwd = await mkdtemp(join(tmpdir(), 'windlass-namespaced-'));
    [one, two, three] = [await world().namespace(), await world().namespace(), await world().namespace()];
    first = await world().start(await world().database(), { namespaces: [one, two] });
    second = await world().start(await world().database(), { namespaces: [three] });
    for (const namespace of [one, two, three]) {
      await world().kubectl(`apply -n ${namespace} -f -`, greet);
      await world().kubectl(`create -n ${namespace} -f -`, run);
      await world().kubectl(`wait -n ${namespace} --for=condition=Finished --timeout=40s wrun/r`);
    }
    await world().kubectl(`create serviceaccount ada -n ${one}`);
    const rights = '--verb=get,list --resource=workflowruns.windlass.dev,workflows.windlass.dev';
    await world().kubectl(`create role reader -n ${one} ${rights}`);
    await world().kubectl(`create rolebinding reader -n ${one} --role=reader --serviceaccount=${one}:ada`);
    token = (await world().kubectl(`create token ada -n ${one}`)).trim();
  });
  afterAll(() => rm(cwd, { recursive: true, force: true }));

  async function cli(controller: RunningController | undefined, ...argv: string[]) {
    const command = invoke([...argv, '--server', controller?.url ?? ''], { cwd, env: { WINDLASS_TOKEN: token } });
    return { code: await command.exitCode, stdout: command.stdout(), stderr: command.stderr() };
  }

  test('each runs what is in its own, and knows of nothing else', async () => {
    const known = async (controller?: RunningController) =>
      (await controller?.store.runs.list({}, { limit: 10 }))?.items.map(({ namespace }) => namespace).toSorted();
    expect(await known(first)).toEqual([one, two].toSorted());
    expect(await known(second)).toEqual([three]);
  });

  test('windlass get lists what the login may list, and says of which namespaces', async () => {
    for (const kind of ['runs', 'workflows']) {
      const { code, stdout, stderr } = await cli(first, 'get', kind);
      expect({ code, stderr }).toEqual({
        code: 0,
        stderr: `only of namespaces ${one}: in the others, your login may list nothing of this kind\n`,
      });
      expect(stdout).toContain(one);
      expect(stdout).not.toContain(two);
    }
    expect((await cli(first, 'get', 'run', 'r')).stdout).toContain(one);
    expect(await cli(first, 'get', 'runs', '-n', one)).toMatchObject({ code: 0, stderr: '' });
  });

  test('and says what is missing where the login may list nothing', async () => {
    const refused = await cli(second, 'get', 'runs');
    expect(refused).toMatchObject({ code: 4, stdout: '' });
    expect(refused.stderr).toContain(`system:serviceaccount:${one}:ada may not list workflowruns`);
    expect((await cli(first, 'get', 'runs', '-n', two)).stderr).toContain(`in namespace ${two}`);
  });
});
