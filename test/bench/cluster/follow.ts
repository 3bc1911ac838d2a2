import type { KubernetesClient } from '../../../controller/kubernetes/client.ts';
import type { Listed } from '../../../controller/kubernetes/list.ts';
import { listWatch } from '../../../controller/kubernetes/list-watch.ts';
import { systemClock } from '../../../controller/runtime/clock.ts';

export type End = 'Succeeded' | 'Failed';

/** What is read of a Pod or a run. */
export interface Subject extends Listed {
  status?: { phase?: string; conditions?: { type: string; status: string }[] };
}

/** The objects of a collection, watched: who has ended, and who is there. */
export interface Followed {
  readonly there: ReadonlySet<string>;
  readonly ended: ReadonlyMap<string, End>;
  /** Resolves when it holds. @throws after `ms` */
  until(holds: () => boolean, what: string, ms: number): Promise<void>;
  stop(): void;
}

/** `endOf`: how an object ended, null while it has not. Resolves when the watch begins. */
export async function follow(
  client: KubernetesClient,
  path: string,
  endOf: (object: Subject) => End | null,
): Promise<Followed> {
  const there = new Set<string>();
  const ended = new Map<string, End>();
  const stopping = new AbortController();
  let changed = () => {};
  const see = (object: Subject): void => {
    const { name } = object.metadata;
    there.add(name);
    const end = endOf(object);
    if (end !== null) ended.set(name, end);
  };
  await new Promise<void>((resolve) => {
    void listWatch<Subject>({
      client,
      path,
      clock: systemClock,
      onList(objects) {
        there.clear();
        for (const object of objects) see(object);
        resolve();
        changed();
      },
      onChange(type, object) {
        if (type === 'gone') there.delete(object.metadata.name);
        else see(object);
        changed();
      },
      signal: stopping.signal,
    });
  });
  return {
    there,
    ended,
    until(holds, what, ms) {
      return new Promise((resolve, reject) => {
        const late = setTimeout(() => {
          changed = () => {};
          reject(new Error(`${what}: not within ${ms / 1000} s; there ${there.size}, ended ${ended.size}`));
        }, ms);
        changed = () => {
          if (!holds()) return;
          changed = () => {};
          clearTimeout(late);
          resolve();
        };
        changed();
      });
    },
    stop: () => stopping.abort(),
  };
}

export function endOfPod({ status }: Subject): End | null {
  return status?.phase === 'Succeeded' || status?.phase === 'Failed' ? status.phase : null;
}

export function endOfRun({ status }: Subject): End | null {
  const is = (type: string) => status?.conditions?.some((c) => c.type === type && c.status === 'True') ?? false;
  if (!is('Finished')) return null;
  return is('Succeeded') ? 'Succeeded' : 'Failed';
}
