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
  report(reasons: string[]): void;
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
    report(reasons) {
      times = new Map(reasons.map((reason) => [reason, (times.get(reason) ?? 0) + 1]));
      for (const [message, count] of times) {
        if (count !== 2) continue;
        const at = clock.now();
        const said = { apiVersion: 'v1', kind: 'Pod', ...pod, type: 'Warning' as const, reason: 'NotReady', message };
        void publisher.publish({ ...said, at, id: `${message} ${at}` });
      }
    },
  };
}

const intervalMs = 5_000;

/** Looks at what is wrong for as long as the controller runs. Returns a stop function. */
export function watchOwnReadiness(events: OwnPodEvents, clock: Clock, find: () => Promise<string[]>): () => void {
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
