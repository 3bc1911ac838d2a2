import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, type WriteStream } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiProblem, type Client, createClient } from '../../../api/client.ts';
import type { Random } from '../../simulate/random.ts';
import type { Trouble } from './judge.ts';

/** How a controller of this home is started: `node` with these arguments and environment. */
export interface ControllerCommand {
  args: string[];
  env: NodeJS.ProcessEnv;
}

interface Member {
  child: ChildProcess;
  client: Client;
  stalled: boolean;
}

export interface FleetCounts {
  kills: number;
  stalls: number;
  /** Controllers that ended though nobody killed them. */
  ownEnds: number;
}

/** A call to one controller gives up after this: a stalled one accepts connections and never answers. */
const callMs = 4000;

/** Several controllers of one home, each a process, which are killed, stalled and started again. */
export class Fleet {
  readonly counts: FleetCounts = { kills: 0, stalls: 0, ownEnds: 0 };
  /** When a controller was dead or stalled. */
  readonly troubles: Trouble[] = [];
  readonly #command: ControllerCommand;
  readonly #members: (Member | null)[];
  readonly #log: WriteStream;
  #stopping = false;

  constructor(command: ControllerCommand, size: number, directory: string) {
    this.#command = command;
    this.#members = Array.from({ length: size }, () => null);
    this.#log = createWriteStream(join(directory, 'controllers.log'), { flags: 'a' });
  }

  /** One after the other: the first makes what the others find. */
  async start(): Promise<void> {
    for (let i = 0; i < this.#members.length; i++) await this.#begin(i);
  }

  /** Kills or stalls a random controller that is well; resolves when it was done, not when that controller is back. */
  async harm(random: Random, background: (work: Promise<void>) => void): Promise<'kill' | 'stall'> {
    for (;;) {
      const well = this.#members.flatMap((member, i) => (member && !member.stalled ? [i] : []));
      if (well.length === 0) {
        await sleep(50);
        continue;
      }
      const i = random.pick(well);
      if (random.chance(0.6)) {
        background(this.#kill(i, 100 + random.below(3000)));
        return 'kill';
      }
      background(this.#stall(i, 4500 + random.below(4000)));
      return 'stall';
    }
  }

  /** Asks the controllers one after the other until one answers. @throws ApiProblem when one refuses; when `until` is over */
  async call<T>(ask: (client: Client) => Promise<T>, until: number): Promise<T> {
    const errors = new Map<string, number>();
    for (let turn = 0; Date.now() < until; turn++) {
      const member = this.#members[turn % this.#members.length];
      if (!member) {
        await sleep(20);
        continue;
      }
      try {
        return await Promise.race([
          ask(member.client),
          sleep(callMs, undefined, { ref: false }).then(() => Promise.reject(new TypeError('no answer'))),
        ]);
      } catch (error) {
        if (error instanceof ApiProblem && error.status < 500) throw error;
        errors.set(String(error), (errors.get(String(error)) ?? 0) + 1);
        await sleep(100);
      }
    }
    throw new Error(`no controller answered: ${JSON.stringify([...errors])}`);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(
      this.#members.map(async (member) => {
        if (!member) return;
        member.child.kill('SIGCONT');
        const ended = once(member.child, 'exit');
        member.child.stdin?.end();
        const forced = setTimeout(() => member.child.kill('SIGKILL'), 10_000);
        await ended;
        clearTimeout(forced);
      }),
    );
    this.#log.end();
  }

  async #begin(i: number): Promise<void> {
    const child = spawn(process.execPath, this.#command.args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: this.#command.env,
    });
    child.stderr.pipe(this.#log, { end: false });
    const exited = once(child, 'exit').then(() => null);
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const first = await Promise.race([lines.next(), exited]);
    if (first === null || first.done) {
      // As a kubelet would: the database may be away.
      this.#log.write('a controller did not come up\n');
      await sleep(500);
      if (!this.#stopping) await this.#begin(i);
      return;
    }
    const { url, token } = JSON.parse(first.value) as { url: string; token: string };
    const member = { child, client: createClient({ server: url, token }), stalled: false };
    this.#members[i] = member;
    void exited.then(() => {
      if (this.#members[i] !== member) return;
      this.#members[i] = null;
      if (this.#stopping) return;
      this.counts.ownEnds++;
      void this.#begin(i).then(this.#trouble());
    });
  }

  async #kill(i: number, downMs: number): Promise<void> {
    const member = this.#members[i];
    if (!member) return;
    this.#members[i] = null;
    this.counts.kills++;
    const over = this.#trouble();
    const exited = once(member.child, 'exit');
    member.child.kill('SIGKILL');
    await exited;
    await sleep(downMs);
    await this.#begin(i);
    over();
  }

  async #stall(i: number, forMs: number): Promise<void> {
    const member = this.#members[i];
    if (!member) return;
    member.stalled = true;
    this.counts.stalls++;
    const over = this.#trouble();
    member.child.kill('SIGSTOP');
    await sleep(forMs);
    member.child.kill('SIGCONT');
    member.stalled = false;
    over();
  }

  /** Notes that something is wrong from now on; returns what notes that it is over. */
  #trouble(): () => void {
    const trouble = { from: new Date(), to: new Date(8.64e15) };
    this.troubles.push(trouble);
    return () => void (trouble.to = new Date());
  }
}
