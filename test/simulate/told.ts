import { type StepRow, wholeStep } from '../../controller/core/run/types.ts';
import type { Instant } from '../../controller/core/time.ts';
import { type Fate, unitId, type World, type WorldOptions } from '../fixtures/world.ts';
import { kindOf, takesSlot, type Written, type WrittenStep } from './written.ts';

/** When main steps and `finally` were stopped: instants that the oracle has checked against their causes. */
export interface Stops {
  main: Instant;
  finally: Instant;
}

export type Say = (problem: string) => void;

export type Begun = World['begun'][number];

const never = Number.POSITIVE_INFINITY;

/** What may hold up a unit besides a pause. `own`: the attempt that it is about; `alone`: what begins in the same instant comes after it. */
export interface Holds {
  slot: boolean;
  circuit: boolean;
  own?: Begun | undefined;
  alone?: boolean;
}

/** What the world did and when, as far as the oracle asks: none of it is the engine's opinion. */
export class Told {
  readonly workflow: Written;
  readonly world: World;
  readonly options: WorldOptions;
  /** Rows that were there when the run began, and were not to run again. */
  readonly kept: ReadonlyMap<string, StepRow>;
  readonly #begun: Map<string, Begun[]>;
  readonly #slots: Begun[];
  readonly #answers: Map<string, World['answers']>;
  readonly #instants: Instant[];
  readonly #circuits: NonNullable<WorldOptions['circuits']>;

  constructor(workflow: Written, world: World, options: WorldOptions) {
    this.workflow = workflow;
    this.world = world;
    this.options = options;
    this.kept = new Map((options.rows ?? []).filter((row) => row.phase !== 'Pending').map((row) => [unitId(row), row]));
    this.#circuits = (options.circuits ?? []).toSorted((a, b) => a.at - b.at);
    this.#begun = Map.groupBy(world.begun, ({ key }) => unitId(key));
    this.#slots = world.begun.filter(({ action }) => takesSlot(action.body.kind));
    this.#answers = Map.groupBy(world.answers, ({ to }) => to);
    const circuits = this.#circuits.flatMap(({ at, open }) => [at, ...open.map(({ until }) => until)]);
    this.#instants = [...(options.spec ?? []).map(({ at }) => at), ...circuits];
  }

  begunBy(unit: { step: string; item: number }): Begun[] {
    return this.#begun.get(unitId(unit)) ?? [];
  }

  /** The first answer to a unit, or to the run itself (''), that was given then or later. */
  answerTo(unit: string, kind: 'Cache' | 'Locks', from: Instant, since?: (since: Instant) => boolean) {
    return (this.#answers.get(unit) ?? []).find(
      ({ at, said }) =>
        at >= from && said.type.startsWith(kind) && (!('since' in said) || since === undefined || since(said.since)),
    );
  }

  rowOf(step: string, item = wholeStep): StepRow | undefined {
    return this.world.steps.get(unitId({ step, item }));
  }

  /** What people have said last; several things of one instant are said at once. */
  specAt(at: Instant) {
    return (this.options.spec ?? []).findLast((one) => one.at <= at);
  }

  pausedAt(at: Instant): boolean {
    return this.specAt(at)?.desired === 'Paused';
  }

  #circuitsAt(at: Instant) {
    return this.#circuits.findLast((one) => one.at <= at)?.open ?? [];
  }

  #fullAt(at: Instant, by: Holds): boolean {
    const { parallelism } = this.workflow;
    if (parallelism === undefined) return false;
    let live = 0;
    for (const one of this.#slots) {
      const counts = one.at < at || by.alone !== true;
      if (one !== by.own && one.at <= at && at < one.endsAt && counts) live++;
    }
    return live >= parallelism;
  }

  /** The first instant at which nothing holds up what is due: a pause, the run's parallelism, a circuit. */
  freeFrom(due: Instant, by: Holds): Instant {
    const held = (at: Instant) =>
      this.pausedAt(at) || (by.slot && this.#fullAt(at, by)) || (by.circuit && this.circuitUntil(at) > at);
    if (due === never || !held(due)) return due;
    const ends = by.slot ? this.#slots.map(({ endsAt }) => endsAt) : [];
    const later = [...this.#instants, ...ends].filter((at) => at > due && at < never).sort((a, b) => a - b);
    return later.find((at) => !held(at)) ?? never;
  }

  /**
   * The instant at which a unit went on that leaves no attempt there to tell: `is`, if that may be. Of those that go on in one
   * instant, this one may have been the first.
   */
  wentOnAt(due: Instant, is: Instant | null, slot: boolean): Instant {
    const free = this.freeFrom(due, { slot, circuit: false });
    if (is === null || is < due || is >= free || !slot) return free;
    return this.freeFrom(is, { slot, circuit: false, alone: true }) === is ? is : free;
  }

  /** Until when a circuit is known to be open, of all that are open then. */
  circuitUntil(at: Instant): Instant {
    const open = this.#circuitsAt(at).filter(({ host, until }) => host === 'one' && until > at);
    return open[0]?.until ?? at;
  }

  fateOf({ key, action }: Begun): Fate {
    const { fate } = this.options;
    if (fate !== undefined) return fate(key, action);
    return { afterMs: 1000, result: { outcome: 'Succeeded', outputs: { values: {} } } };
  }

  /** When somebody has first said so, from then on. */
  firstSpec(from: Instant, says: (spec: NonNullable<WorldOptions['spec']>[number]) => boolean): Instant {
    return (this.options.spec ?? []).find((one) => one.at >= from && says(one))?.at ?? never;
  }
}

export function stepOf(workflow: Written, name: string): WrittenStep {
  const step = [...workflow.steps, ...(workflow.finally ?? [])].find((one) => one.name === name);
  if (step === undefined) throw new Error(`no step ${name}`);
  return step;
}

/** Whether the units of a step ask for anything before they begin. */
export function asksFor(step: WrittenStep, body: Parameters<typeof kindOf>[0], limitedSlots: boolean): boolean {
  return (step.locks ?? []).length > 0 || (limitedSlots && takesSlot(kindOf(body)));
}

export function stepsOf(workflow: Written, section: 'main' | 'finally'): WrittenStep[] {
  return section === 'main' ? workflow.steps : (workflow.finally ?? []);
}

/** What a row says of how its unit went, whatever was undone since. */
export function phaseOf(row: StepRow | undefined): string {
  return row?.phase === 'Compensated' ? 'Succeeded' : (row?.phase ?? 'Pending');
}

export function hasFailed(row: StepRow | undefined): boolean {
  return row?.phase === 'Failed' || row?.phase === 'TimedOut';
}
