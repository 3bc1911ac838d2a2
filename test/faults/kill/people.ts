import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiProblem, type Client } from '../../../api/client.ts';
import type { Random } from '../../simulate/random.ts';
import type { Fleet } from './fleet.ts';
import type { History } from './history.ts';
import { lanes, type Scenario } from './scenarios.ts';

/** A run that somebody asked for. */
export interface Asked {
  name: string;
  workflow: string;
  n: number;
  lane: number;
}

export interface PeopleOptions {
  fleet: Fleet;
  history: History;
  random: Random;
  scenarios: Record<string, Scenario>;
  namespace: string;
  rooms: string;
  /** Longest time that a run has something to wait for, in ms. */
  holdMs: number;
}

/** A person tries for so long, whatever becomes of the controllers. */
const patienceMs = 120_000;

/** Those who create runs and, meanwhile, cancel, pause, approve and retry them, by the HTTP API of whoever answers. */
export class People {
  readonly asked: Asked[] = [];
  /** What went wrong that no fault explains. */
  readonly problems: string[] = [];
  readonly #options: PeopleOptions;
  readonly #busy = new Set<Promise<void>>();
  readonly #wheel: string[];

  constructor(options: PeopleOptions) {
    this.#options = options;
    this.#wheel = Object.entries(options.scenarios).flatMap(([name, { weight }]) => Array<string>(weight).fill(name));
  }

  /** Creates a run, of this workflow or a random one; what is to be done with it later is done in the background. */
  async ask(workflow = this.#options.random.pick(this.#wheel), hold = true): Promise<void> {
    const { random, namespace, holdMs } = this.#options;
    const number = this.asked.length;
    const one: Asked = { name: `${workflow}-${number}`, workflow, n: random.below(1000), lane: number % lanes };
    this.asked.push(one);
    const until = new Date(Date.now() + (hold ? holdMs / 3 + random.below((holdMs * 2) / 3) : 0)).toISOString();
    const inputs = { n: one.n, lane: one.lane, until };
    await this.#call(`create ${one.name}`, (client) =>
      client.createRun(namespace, { workflow, name: one.name, inputs }),
    );
    const intent = this.#options.scenarios[workflow]?.intent;
    if (intent)
      this.#background(
        this.#meanwhile(one.name, intent, holdMs / 6 + random.below((holdMs * 5) / 6), 1000 + random.below(8000)),
      );
  }

  /** Resolves once nobody has anything left to do. */
  async rest(): Promise<void> {
    while (this.#busy.size > 0) await Promise.all(this.#busy);
  }

  async #meanwhile(name: string, intent: NonNullable<Scenario['intent']>, afterMs: number, forMs: number) {
    const { namespace, history, rooms } = this.#options;
    const key = { namespace, name };
    if (intent === 'retry') {
      await history.until(async () => (await history.run(name))?.phase === 'Failed');
      await writeFile(join(rooms, `again-${name}`), '');
      await history.until(async () => {
        await this.#call(`retry ${name}`, (client) => client.retryRun(key));
        return ((await history.run(name))?.execution ?? 1) > 1;
      });
      return;
    }
    await sleep(afterMs);
    switch (intent) {
      case 'cancel':
        return this.#call(`cancel ${name}`, (client) => client.cancelRun(key, { reason: 'not wanted' }));
      case 'approve':
        return this.#call(`approve ${name}`, (client) => client.approveStep(key, 'ask'));
      case 'pause':
        await this.#call(`pause ${name}`, (client) => client.pauseRun(key));
        await sleep(forMs);
        // A controller that was stalled with the request to pause may serve it after this one.
        return history.until(async () => {
          const run = await history.run(name);
          if (run && run.finishedAt !== null) return true;
          await this.#call(`resume ${name}`, (client) => client.resumeRun(key));
          return false;
        }, 5000);
    }
  }

  /** A refusal is right when it was done before, by a call whose answer was lost. */
  async #call(what: string, ask: (client: Client) => Promise<unknown>): Promise<void> {
    try {
      await this.#options.fleet.call(ask, Date.now() + patienceMs);
    } catch (error) {
      if (error instanceof ApiProblem && (error.status === 409 || error.status === 422)) return;
      this.problems.push(`${what}: ${String(error)}`);
    }
  }

  #background(work: Promise<void>): void {
    const one = work
      .catch((error: unknown) => void this.problems.push(String(error)))
      .finally(() => this.#busy.delete(one));
    this.#busy.add(one);
  }
}
