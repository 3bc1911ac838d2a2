import { FenceLost } from '../seams/lease.ts';
import type { Store } from '../store/types.ts';

/**
 * Said right before an object is written for others to follow. Objects may be in the Kubernetes API, where no transaction
 * compares a fence: a replica that was stopped meanwhile must at least not go on with what it wanted before.
 * @throws FenceLost
 */
export function mustLead(store: Pick<Store, 'isLeader'>): void {
  if (!store.isLeader()) throw new FenceLost('this replica does not lead the config kinds of its home');
}
