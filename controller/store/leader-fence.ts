import { and, eq } from 'drizzle-orm';
import { FenceLost } from '../seams/lease.ts';
import type { Drizzle } from './database.ts';
import { leaders } from './schema/leases.ts';

/**
 * Locks the leader row to the end of the transaction: whoever takes over waits for it, whoever was replaced finds out.
 * @throws FenceLost
 */
export type LeaderFence = (tx: Drizzle) => Promise<void>;

/** `leaderFence` is the fence this replica leads its home with; 0 while it does not. */
export function createLeaderFence(
  identity: { home: string; replica(): string },
  leaderFence: () => number,
): LeaderFence {
  return async (tx) => {
    const [row] = await tx
      .select({ owner: leaders.owner })
      .from(leaders)
      .where(
        and(eq(leaders.home, identity.home), eq(leaders.owner, identity.replica()), eq(leaders.fence, leaderFence())),
      )
      .for('no key update');
    if (!row) throw new FenceLost('this replica does not lead the config kinds of its home');
  };
}
