import type { KubernetesClient } from './kubernetes/client.ts';
import { createEventPublisher } from './kubernetes/events.ts';
import type { Clock } from './seams/clock.ts';

/** The Pod that this controller runs in. */
export interface OwnPod {
  namespace: string;
  name: string;
  uid: string;
}

/** Tells of what keeps this controller from serving by Events of its own Pod, whose readiness says only that it does not. */
export interface OwnPodEvents {
  /** All that is wrong at present. What is wrong twice in a row is told, once until it is right again. */
  report(troubles: Troubles): void;
}

/** What is wrong: by the reason of the Event that tells it. */
export interface Troubles {
  /** Why it does not serve. */
  NotReady: string[];
  /** It serves, but for these namespaces. */
  NamespaceMissing?: string[];
}

/** `pod` null: it runs in none, and nobody is told. Never throws; when the API server is what fails, the log has it. */
export function createOwnPodEvents(options: {
  client: KubernetesClient;
  clock: Clock;
  pod: OwnPod | null;
}): OwnPodEvents {
  const { client, clock, pod } = options;
  if (pod === null) return { report: () => {} };
  const publisher = createEventPublisher({ client, clock, instance: () => pod.name, onDropped: () => {} });
  /** How often in a row each was wrong. */
  let times = new Map<string, number>();
  return {
    report(troubles) {
      const all = Object.entries(troubles).flatMap(([reason, messages]: [string, string[]]) =>
        messages.map((message) => ({ reason, message })),
      );
      times = new Map(all.map(({ message }) => [message, (times.get(message) ?? 0) + 1]));
      for (const { reason, message } of all) {
        if (times.get(message) !== 2) continue;
        const at = clock.now();
        const said = { apiVersion: 'v1', kind: 'Pod', ...pod, type: 'Warning' as const, reason, message };
        void publisher.publish({ ...said, at, id: `${message} ${at}` });
      }
    },
  };
}

const intervalMs = 5_000;

/** Looks at what is wrong for as long as the controller runs. Returns a stop function. */
export function watchOwnReadiness(events: OwnPodEvents, clock: Clock, find: () => Promise<Troubles>): () => void {
  let stopped = false;
  let cancel = () => {};
  async function look(): Promise<void> {
    events.report(await find());
    if (!stopped) cancel = clock.at(clock.now() + intervalMs, () => void look());
  }
  void look();
  return () => {
    stopped = true;
    cancel();
  };
}
