import { randomInt } from 'node:crypto';
import { ObjectConflict } from '../controller/seams/objects.ts';

/** Kubernetes's alphabet for generated names: no vowels, no look-alikes, so that no words come out. */
const alphabet = 'bcdfghjklmnpqrstvwxz2456789';

/**
 * Calls `create` with the prefix and five random characters, with others while the name is taken.
 * @throws ObjectConflict when eight in a row were taken.
 */
export async function withGeneratedName<T>(prefix: string, create: (name: string) => Promise<T>): Promise<T> {
  for (let left = 7; ; left--) {
    try {
      return await create(prefix + Array.from({ length: 5 }, () => alphabet[randomInt(alphabet.length)]).join(''));
    } catch (error) {
      if (left === 0 || !(error instanceof ObjectConflict && error.reason === 'AlreadyExists')) throw error;
    }
  }
}
