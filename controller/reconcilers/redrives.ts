import type { Clock } from '../seams/clock.ts';
import { goesOn } from '../core/run/execution.ts';
import type { DeadLetter, Store } from '../store/types.ts';
import { createLeaderRounds, type LeaderRounds, type LeaderRoundsDependencies } from './leader-rounds.ts';

export interface RedrivesDependencies extends Pick<LeaderRoundsDependencies, 'log'> {
  store: Pick<Store, 'isLeader'> & {
    deadLetters: Pick<Store['deadLetters'], 'unrecorded' | 'waitAgain'>;
    objects: Pick<Store['objects'], 'get'>;
  };
  clock: Clock;
}

const everyMs = 30_000;
/** An object may be seen only so much later than it was created. */
const leftAloneMs = 30_000;
const atOnce = 500;

/**
 * Brings dead letters back of whose redrive nothing came. The end of a run settles its letter where it is recorded; one that is
 * deleted, cancelled or refused before anything of it is recorded has no such end, and a look at its object is all there is to tell.
 */
export function createRedrives({ store, clock, log }: RedrivesDependencies): LeaderRounds {
  async function bringBack(): Promise<number> {
    const before = clock.now() - leftAloneMs;
    let found = 0;
    let after = 0;
    for (;;) {
      const letters = await store.deadLetters.unrecorded(before, after, atOnce);
      for (const letter of letters) if (await isOver(letter)) found += await waitAgain(letter);
      const last = letters.at(-1);
      if (last === undefined || letters.length < atOnce) return found;
      after = last.id;
    }
  }

  async function isOver({ namespace, redrivenName, redrivenAs }: DeadLetter): Promise<boolean> {
    const run = await store.objects.get('WorkflowRun', namespace, redrivenName ?? '');
    return run?.metadata.uid !== redrivenAs || !goesOn(run);
  }

  async function waitAgain(letter: DeadLetter): Promise<number> {
    const message = `nothing came of run ${letter.redrivenName}, as which the dead letter of this run was started again: it waits again`;
    return (await store.deadLetters.waitAgain(letter, { message, at: clock.now() })) ? 1 : 0;
  }

  return createLeaderRounds({
    store,
    clock,
    log,
    everyMs,
    what: 'dead letters of whose redrive nothing is recorded',
    round: bringBack,
  });
}
