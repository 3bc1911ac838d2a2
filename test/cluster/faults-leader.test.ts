import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { type ClusterEnvironment, serveEnvironment } from '../fixtures/cluster-environment.ts';
import { type ClusterWorld, startClusterWorld } from '../fixtures/cluster-world.ts';
import type { ControllerProcess } from '../fixtures/controller-process.ts';
import { kubectlOrThrow } from '../fixtures/kubectl.ts';

const started = await startClusterWorld();
const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});
afterAll(() => started?.stop());

function world(): ClusterWorld {
  if (!started) throw new Error('there is no API server');
  return started;
}

/** Ended with its test: it serves every namespace. */
async function spawn(database: string): Promise<ControllerProcess> {
  const controller = await world().spawn(database);
  closing.push(() => killed(controller));
  return controller;
}

async function killed(controller: ControllerProcess): Promise<void> {
  controller.kill('SIGKILL');
  await controller.exited;
}

/** An environment that runs `one`, led by the first of two replicas. */
async function ready() {
  const database = await world().database();
  const environment = await serveEnvironment(world());
  closing.push(() => environment.close());
  const leader = await spawn(database);
  await environment.merge('one');
  return { database, environment, leader, other: await spawn(database) };
}

async function edit({ namespace }: ClusterEnvironment, description: string): Promise<void> {
  const patch = JSON.stringify({ spec: { description } });
  const args = ['patch', 'wwf', 'w', '-n', namespace, '--type=merge', '--field-manager=mallory', '-p', patch];
  await kubectlOrThrow(world().server, args);
}

async function reverted({ namespace }: ClusterEnvironment): Promise<void> {
  const drifted = '--for=jsonpath={.status.conditions[?(@.type=="Drifted")].reason}=Reverted';
  await world().kubectl(`wait wwf/w -n ${namespace} ${drifted} --timeout=40s`);
}

/** What was told of the project and of its environment, with how often. */
async function told({ project, namespace }: ClusterEnvironment): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (const where of [project, namespace]) {
    const found = await world().kubectl(`get events.v1.events.k8s.io -n ${where} -o json`);
    const { items } = JSON.parse(found) as { items: { reason: string; note: string; series?: { count: number } }[] };
    for (const { reason, note, series } of items) {
      const what = `${reason}: ${note}`;
      counts.set(what, (counts.get(what) ?? 0) + (series?.count ?? 1));
    }
  }
  return counts;
}

const twice = (events: Map<string, number>) => [...events].filter(([, count]) => count > 1);
const drifts = (events: Map<string, number>) => [...events.keys()].filter((event) => event.startsWith('Drifted'));

describe.skipIf(!started)('the replica that leads the config kinds', () => {
  test('is killed: another reverts an edit once, promotes what is merged once, and repeats no Event', async () => {
    const { environment, leader } = await ready();
    const { namespace } = environment;
    await killed(leader);
    const before = await environment.read('wwf');
    await edit(environment, 'edited');
    await reverted(environment);
    await world().event(namespace, 'w', 'Drifted');
    await environment.merge('two');
    // Edited, put back, promoted.
    expect((await environment.read('wwf')).metadata.generation).toBe(before.metadata.generation + 3);
    const promotions = await world().kubectl(`get wpro -n ${environment.project} -o name`);
    expect(promotions.trim().split('\n')).toHaveLength(2);
    const events = await told(environment);
    expect(twice(events)).toEqual([]);
    expect(drifts(events)).toHaveLength(1);
    expect(drifts(events)[0]).toContain('Changed by mallory: spec.description');
  });

  test('stalls, and wakes up when another leads: nothing is put back twice, and leading again repeats no Event', async () => {
    const { environment, leader, other } = await ready();
    const { namespace } = environment;
    const before = await environment.read('wwf');
    leader.kill('SIGSTOP');
    await edit(environment, 'edited');
    await reverted(environment);
    await world().event(namespace, 'w', 'Drifted');
    leader.kill('SIGCONT');
    await leader.logged('a new lease was taken');
    await killed(other);
    // It leads again as soon as it promotes.
    await environment.merge('two');
    expect((await environment.read('wwf')).metadata.generation).toBe(before.metadata.generation + 3);
    const events = await told(environment);
    expect(twice(events)).toEqual([]);
    expect(drifts(events)).toHaveLength(1);
  });
});
