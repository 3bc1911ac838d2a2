import type { Instant } from '../../controller/core/time.ts';
import type { Begun, Told } from './told.ts';
import { asksFor } from './told.ts';
import {
  afterBody,
  bodyAt,
  declaresN,
  type Fault,
  isDone,
  isLost,
  type Kind,
  kindOf,
  makesAttempts,
  msOf,
  pauseOf,
  takesSlot,
  timeoutOf,
  triesAgain,
  type WrittenBody,
  type WrittenStep,
} from './written.ts';

/** A unit whose course is asked for: a step, an item of its forEach, or the compensation of either. */
export interface Case {
  step: WrittenStep;
  item: number;
  /** When nothing but pauses, parallelism, locks and the like holds it any more. */
  ready: Instant;
  first: 'main' | 'compensate';
  /** When all of it is stopped, if it has not ended by then, and how it ends if nothing of it lives. */
  stop: { at: Instant; phase: 'Cancelled' | 'TimedOut' };
  /** How long the whole may take from its beginning; of a step without items. */
  deadlineMs: number;
  /** The same as an instant, of an item: that of its step. */
  deadlineAt: Instant;
  limitedSlots: boolean;
  /** Which comes first of what falls on one instant: that it goes on, or that it is stopped. */
  ties: 'go' | 'stop';
}

/** How a unit must have gone. */
export interface Course {
  phase: 'Succeeded' | 'Cached' | 'Skipped' | 'Failed' | 'TimedOut' | 'Cancelled';
  at: Instant;
  /** When it left Pending; null: it never did. */
  startedAt: Instant | null;
  via: string;
  iteration: number;
  /** Type of the error of one that Failed. */
  error: string | null;
  /** Two things happened in one instant: it may have gone as the other of `ties` says. */
  tie: boolean;
  /** What it began was wrong, so that its end cannot be told. */
  unknown: boolean;
  problems: string[];
}

const never = Number.POSITIVE_INFINITY;
const approvalMs = 30_000;

/**
 * Follows a unit through its attempts, by what each of them answers and what the workflow says must come of that, and
 * says how it ends. Whatever begins otherwise than it must is a problem.
 */
export function follow(told: Told, of: Case): Course {
  return new Follower(told, of).run();
}

/** The ways in which a unit may have gone: more than one when what happens to it falls on one instant. */
export function followEither(told: Told, of: Omit<Case, 'ties'>): Course[] {
  const course = follow(told, { ...of, ties: 'go' });
  return course.tie ? [course, follow(told, { ...of, ties: 'stop' })] : [course];
}

/** Thrown when the course is known to its end. */
class End extends Error {
  readonly how: Omit<Course, 'problems' | 'startedAt' | 'via' | 'iteration' | 'tie'>;
  constructor(how: End['how']) {
    super('ended');
    this.how = how;
  }
}

class Follower {
  readonly #told: Told;
  readonly #of: Case;
  readonly #name: string;
  readonly #begun: Begun[];
  readonly #problems: string[] = [];
  #next = 0;
  #stop: Case['stop'];
  #deadlineAt: Instant;
  #startedAt: Instant | null = null;
  #via: string;
  #iteration = 1;
  #attempts = 0;
  #lost = 0;
  #tie = false;
  #due: Instant;

  constructor(told: Told, of: Case) {
    this.#told = told;
    this.#of = of;
    this.#name = `${of.first === 'main' ? '' : 'the compensation of '}${of.item < 0 ? of.step.name : `${of.step.name}[${of.item}]`}`;
    this.#begun = told
      .begunBy({ step: of.step.name, item: of.item })
      .filter(({ action }) => action.effect.startsWith('compensate') === (of.first === 'compensate'));
    this.#stop = of.stop;
    this.#deadlineAt = of.deadlineAt;
    this.#via = of.first;
    this.#due = of.ready;
  }

  run(): Course {
    let how: End['how'];
    try {
      this.#enter();
      for (;;) this.#perform();
    } catch (error) {
      if (!(error instanceof End)) throw error;
      how = error.how;
    }
    const more = this.#begun.length - this.#next;
    if (more > 0 && !how.unknown) this.#say(`begins ${more} attempts more than it may`);
    const iteration = this.#of.step.until === undefined ? 0 : this.#iteration;
    // What is skipped at once has never left Pending.
    const startedAt = how.phase === 'Skipped' && how.at === this.#startedAt ? null : this.#startedAt;
    return { ...how, tie: this.#tie, startedAt, via: this.#via, iteration, problems: this.#problems };
  }

  #say(problem: string): void {
    this.#problems.push(`${this.#name} ${problem}`);
  }

  #end(phase: Course['phase'], at: Instant, error: string | null = null, unknown = false): never {
    throw new End({ phase, at, error, unknown });
  }

  /** Whether the stop comes first, of what comes at this instant. */
  #stopsBefore(at: Instant): boolean {
    if (at !== this.#stop.at) return this.#stop.at < at;
    this.#tie = true;
    return this.#of.ties === 'stop';
  }

  /** It waits from `from` for something that comes `then`: is it stopped before? */
  #await(from: Instant, then: Instant): void {
    const { at, phase } = this.#stop;
    const stopped = Math.max(at, from);
    if (stopped < then || (stopped === then && this.#stopsBefore(at)))
      this.#end(phase, stopped, null, stopped === never);
    if (then === never) this.#end(phase, never, null, true);
  }

  /** Leaves Pending, and waits for what it asks for: an entry of the cache, then its locks. */
  #enter(): void {
    const { step, item, ready, first, deadlineMs, limitedSlots } = this.#of;
    const unit = item < 0 ? step.name : `${step.name}[${item}]`;
    const body = first === 'main' ? step : (step.compensate as WrittenBody);
    const slot = first === 'main' && takesSlot(kindOf(body));
    const [own] = this.#begun;
    const asks =
      step.cache !== undefined || asksFor(step, body, limitedSlots) || kindOf(body) === 'http' || this.#lacksArtifact();
    const row = this.#told.rowOf(step.name, item);
    const left = row?.startedAt ?? row?.finishedAt ?? null;
    const free = asks
      ? this.#told.wentOnAt(ready, left, slot)
      : this.#told.freeFrom(ready, { slot, circuit: false, own });
    this.#await(ready, free);
    this.#startedAt = free;
    this.#due = free;
    this.#deadlineAt = Math.min(this.#deadlineAt, free + deadlineMs);
    if (deadlineMs !== never && !this.#stopsBefore(free + deadlineMs))
      this.#stop = { at: free + deadlineMs, phase: 'TimedOut' };
    if (first === 'main' && step.cache !== undefined && this.#answered(unit, 'Cache').said.type === 'CacheHit')
      this.#end('Cached', this.#due);
    if (!asksFor(step, body, limitedSlots)) return;
    // A compensation asks anew, with a time of its own.
    const asked = this.#told.rowOf(step.name, item)?.startedAt ?? free;
    const since = first === 'main' ? undefined : (at: Instant) => at > asked;
    if (this.#answered(unit, 'Locks', since).said.type === 'LocksRefused') this.#end('Failed', this.#due, 'lock');
  }

  #answered(unit: string, kind: 'Cache' | 'Locks', since?: (since: Instant) => boolean) {
    const answer = this.#told.answerTo(unit, kind, this.#due, since);
    this.#await(this.#due, answer?.at ?? never);
    if (answer === undefined) throw new Error('waits for ever');
    this.#due = answer.at;
    return answer;
  }

  /** Does its present body once. */
  #perform(): void {
    const body = bodyAt(this.#of.step, this.#via);
    if (body === null) throw new Error(`${this.#name} has no ${this.#via}`);
    const kind = kindOf(body);
    if (makesAttempts(kind)) this.#attempt(body, kind);
    else this.#immediate(body as WrittenStep, kind);
  }

  #immediate(body: WrittenStep, kind: Kind): void {
    const at = this.#told.freeFrom(this.#due, { slot: false, circuit: false });
    this.#await(this.#due, at);
    this.#due = at;
    switch (kind) {
      case 'assert':
        return body.assert?.every(({ that }) => that === 'true')
          ? this.#succeed(at, undefined)
          : this.#fail(at, { type: 'assertion', retryable: false });
      case 'decide': {
        const [one] = body.decide?.cases ?? [];
        return this.#succeed(at, one?.if === 'true' ? one.then['n'] : null);
      }
      case 'wait': {
        const until = at + msOf(body.wait?.for ?? '0s');
        if (until > at) this.#await(at, until);
        return this.#succeed(until, undefined);
      }
      default:
        return this.#approval(at);
    }
  }

  #approval(from: Instant): void {
    const { step } = this.#of;
    const entries = (spec: ReturnType<Told['specAt']>) =>
      (spec?.approvals ?? []).filter((one) => one.step === step.name && one.execution === 1);
    const first = this.#told.world.run.execution === 1;
    const there = first ? entries(this.#told.specAt(from)) : [];
    const at = there.length > 0 ? from : this.#told.firstSpec(from, (spec) => first && entries(spec).length > 0);
    const over = from + approvalMs;
    if (at !== from) this.#await(from, Math.min(at, over));
    if (at > over) return this.#fail(over, { type: 'timeout', retryable: false }, 'TimedOut');
    const rejected = entries(this.#told.specAt(at)).some(({ decision }) => decision === 'Reject');
    if (rejected) this.#fail(at, { type: 'approval', retryable: false });
    else this.#succeed(at, undefined);
  }

  #attempt(body: WrittenStep | WrittenBody, kind: Kind): void {
    const from = this.#due;
    if (this.#lacksArtifact()) {
      const { step, item, first } = this.#of;
      const is = this.#told.rowOf(step.name, item)?.finishedAt ?? null;
      const at = this.#told.wentOnAt(from, is, first === 'main' && takesSlot(kind));
      this.#await(from, at);
      return this.#fail(at, { type: 'artifact', retryable: false });
    }
    const own = this.#begun[this.#next];
    const circuit = kind === 'http' && body.http?.url === 'http://one/';
    const undoes = this.#of.first === 'compensate';
    const soon = this.#told.freeFrom(from, { slot: !undoes && takesSlot(kind), circuit, own });
    // A compensation looks at a circuit again only when that was to close at the latest.
    const known = this.#told.freeFrom(this.#told.circuitUntil(from), { slot: false, circuit: true });
    const waits = undoes && circuit && (own === undefined ? known >= this.#stop.at : own.at === known);
    const at = waits ? known : soon;
    if (at > this.#stop.at || at === never) return this.#await(from, at);
    if (own === undefined) {
      if (at === this.#stop.at) this.#end(this.#stop.phase, at);
      this.#say(`must begin attempt ${this.#next + 1} at ${at}, and never does`);
      return this.#end('Failed', at, null, true);
    }
    this.#next++;
    if (own.at !== at) {
      this.#say(`begins attempt ${own.key.attempt} at ${own.at}, and should at ${at}`);
      return this.#end('Failed', at, null, true);
    }
    this.#attempts++;
    this.#checkBegun(own, kind);
    const { afterMs, result, stopsAfterMs = 0 } = this.#told.fateOf(own);
    const over = own.at + timeoutOf(this.#of.step, body);
    const stops = Math.min(over, Math.max(this.#stop.at, own.at));
    const natural = own.at + afterMs;
    // What is told to end in the instant in which it ends by itself was told that before or after.
    const stopped = stops < natural || (stops === natural && this.#isFirst());
    const byItself = !stopped || stops + stopsAfterMs >= natural;
    const end = byItself ? natural : stops + stopsAfterMs;
    if (own.endsAt !== end) this.#say(`must end attempt ${own.key.attempt} at ${end}, and does at ${own.endsAt}`);
    if (stopped && this.#runsOut(over)) return this.#timedOut(body, end);
    if (byItself && result.outcome === 'Succeeded') return this.#yielded(body, kind, end, result.outputs);
    if (stopped) return this.#end(this.#of.first === 'main' ? 'Cancelled' : 'Failed', end, 'cancelled');
    if (result.outcome !== 'Failed') throw new Error('an attempt ends by itself in no way');
    return this.#failed(body, end, result.error);
  }

  /** Of a stop and something else at one instant. */
  #isFirst(): boolean {
    this.#tie = true;
    return this.#of.ties === 'stop';
  }

  /** Whether it is stopped as its time is up, and not as nothing more is wanted of it. Its own limits come before that of its step. */
  #runsOut(over: Instant): boolean {
    const { at, phase } = this.#stop;
    if (phase === 'TimedOut' || over < at) return true;
    return over === at && (at === this.#deadlineAt || !this.#isFirst());
  }

  /** What it was told to end for, it has not done, whatever it says. */
  #timedOut(body: WrittenStep | WrittenBody, end: Instant): void {
    const phase = this.#of.item < 0 ? 'TimedOut' : 'Cancelled';
    if (end >= this.#deadlineAt) return this.#end(phase, end);
    return this.#failed(body, end, { type: 'timeout', retryable: true });
  }

  #yielded(body: WrittenStep | WrittenBody, kind: Kind, end: Instant, outputs: unknown): void {
    const n = (outputs as { values: { n?: unknown } }).values.n;
    if (this.#of.first === 'compensate') return this.#end('Succeeded', end);
    const script = kind === 'run' || kind === 'container';
    // A script yields what is declared, of the declared type; other kinds what they like.
    if (script && n !== undefined && (!declaresN(this.#of.step) || !Number.isInteger(n)))
      return this.#failed(body, end, { type: 'output', retryable: false });
    return this.#succeed(end, n);
  }

  #checkBegun(own: Begun, kind: Kind): void {
    const { execution } = this.#told.world.run;
    const iteration = this.#of.step.until === undefined ? 0 : this.#iteration;
    const { effect, body } = own.action;
    const [via, repetition, number] = effect.split('/');
    const right =
      via === this.#via &&
      Number(number) === execution &&
      (via === 'compensate' || Number(repetition) === iteration) &&
      body.kind === kind;
    if (!right)
      this.#say(
        `does ${effect} as a ${body.kind} in attempt ${own.key.attempt}, not ${this.#via}/${iteration}/${execution} as a ${kind}`,
      );
  }

  /** Nothing but a step of this very run leaves artifacts, and never to its items. */
  #lacksArtifact(): boolean {
    return Object.values(this.#of.step.artifacts?.in ?? {}).some((source) => {
      const [need = '', name = ''] = source.split('.');
      return this.#told.rowOf(need)?.artifacts[name] === undefined;
    });
  }

  #failed(body: WrittenStep | WrittenBody, at: Instant, fault: Fault): void {
    if (isLost(fault)) this.#lost++;
    const again = triesAgain(body, fault, this.#attempts, this.#lost);
    if (again === 'error') return this.#fail(at, { type: 'expression', retryable: false });
    if (!again) return this.#fail(at, fault);
    if (this.#stopsBefore(at)) return this.#cut(at);
    const { least, most } = pauseOf(body, this.#attempts);
    const next = this.#begun[this.#next];
    // Somewhere between the shortest and the longest pause; when exactly, jitter says.
    const chosen = next === undefined ? at + most : Math.min(Math.max(next.at, at + least), at + most);
    const { at: stop } = this.#stop;
    if (next === undefined && stop > at + least && stop <= at + most) return this.#await(at, stop + 1);
    this.#await(at, chosen);
    this.#due = chosen;
  }

  /** A body has failed for good. */
  #fail(at: Instant, { type }: Fault, phase: 'Failed' | 'TimedOut' = 'Failed'): void {
    const next = afterBody(this.#of.step, this.#via);
    if (next === null) return this.#end(phase, at, type);
    if (this.#stopsBefore(at)) return this.#cut(at);
    if (next === 'skip') return this.#end('Skipped', at);
    if (next === 'fail') return this.#end('Failed', at, 'fallback');
    this.#via = next.via;
    this.#iteration = 1;
    this.#attempts = 0;
    this.#lost = 0;
    this.#due = at;
  }

  /** It could go on, but nothing begins any more. */
  #cut(at: Instant): never {
    return this.#end(this.#of.first === 'main' ? 'Cancelled' : 'Failed', at);
  }

  #succeed(at: Instant, n: unknown): void {
    const { until } = this.#of.step;
    if (until === undefined) return this.#end('Succeeded', at);
    const done = isDone(until.condition, n);
    if (done === 'error') return this.#fail(at, { type: 'expression', retryable: false });
    if (done) return this.#end('Succeeded', at);
    if (this.#stopsBefore(at)) return this.#cut(at);
    if (this.#iteration >= until.limit) return this.#fail(at, { type: 'until', retryable: false });
    this.#iteration++;
    this.#attempts = 0;
    this.#lost = 0;
    const next = at + (until.interval === undefined ? 0 : msOf(until.interval));
    if (next > at) this.#await(at, next);
    this.#due = next;
  }
}
