import { createHash } from 'node:crypto';
import type { Clock } from '../seams/clock.ts';
import type { KubernetesClient } from './client.ts';
import { isRefusal, KubernetesError } from './errors.ts';

/** Something that happened to an object, for who looks at it with kubectl. */
export interface Happening {
  /** Of the object. */
  apiVersion: string;
  kind: string;
  namespace: string;
  name: string;
  uid: string;
  type: 'Normal' | 'Warning';
  reason: string;
  message: string;
  at: number;
  /** Says which happening it is, so that two controllers that tell of it make one Event. */
  id: string;
}

export interface EventPublisher {
  /** Never throws and never waits for long: what cannot be told is dropped, with one line in the log for each reason. */
  publish(happening: Happening): Promise<void>;
}

/** The same words about the same object within this time are counted, not repeated, as Kubernetes itself does. */
const seriesMs = 600_000;
const maxSeries = 1000;
/** As many as a leader that leads again may come to tell once more, several times over. */
const maxTold = 1000;
const requestMs = 5_000;

interface Series {
  name: string;
  count: number;
  at: number;
}

/** Writes Events of `events.k8s.io`. `instance` names this controller among its like. */
export function createEventPublisher(options: {
  client: KubernetesClient;
  clock: Clock;
  instance: () => string;
  onDropped(happening: Happening, error: unknown): void;
}): EventPublisher {
  const { client, clock, instance, onDropped } = options;
  const series = new Map<string, Series>();
  /** Names of the Events of happenings that were told, whether as one of their own or as one more of a series. */
  const told = new Set<string>();
  const complaints = new Set<string>();

  async function write(happening: Happening): Promise<void> {
    const body = eventOf(happening, instance());
    const { name } = body.metadata;
    if (told.has(name)) return;
    told.add(name);
    const [oldest] = told;
    if (told.size > maxTold && oldest !== undefined) told.delete(oldest);
    try {
      await tell(happening, body);
    } catch (error) {
      told.delete(name);
      throw error;
    }
  }

  async function tell(happening: Happening, event: ReturnType<typeof eventOf>): Promise<void> {
    const { namespace, uid, reason, message } = happening;
    const path = `/apis/events.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/events`;
    const key = JSON.stringify([uid, reason, message]);
    const before = series.get(key);
    if (before && clock.now() - before.at < seriesMs) {
      before.count += 1;
      before.at = clock.now();
      const body = { series: { count: before.count, lastObservedTime: microTime(happening.at) } };
      const contentType = 'application/merge-patch+json';
      try {
        await client.request('PATCH', `${path}/${before.name}`, { body, contentType, timeoutMs: requestMs });
        return;
      } catch (error) {
        // Events are forgotten after a while: this one begins a new series.
        if (!isRefusal(error, 404)) throw error;
      }
    }
    const { name } = event.metadata;
    series.delete(key);
    series.set(key, { name, count: 1, at: clock.now() });
    const [oldest] = series.keys();
    if (series.size > maxSeries && oldest !== undefined) series.delete(oldest);
    try {
      await client.request('POST', path, { body: event, timeoutMs: requestMs });
    } catch (error) {
      // Another controller has told of it.
      if (!isRefusal(error, 409)) throw error;
    }
  }

  return {
    async publish(happening) {
      try {
        await write(happening);
        complaints.clear();
      } catch (error) {
        const why = error instanceof KubernetesError ? String(error.status.code) : 'no answer';
        if (!complaints.has(why)) onDropped(happening, error);
        complaints.add(why);
      }
    },
  };
}

function eventOf(happening: Happening, instance: string) {
  const { apiVersion, kind, namespace, name, uid, type, reason, message, at, id } = happening;
  const hash = createHash('sha256')
    .update(JSON.stringify([uid, id]))
    .digest('hex');
  return {
    apiVersion: 'events.k8s.io/v1',
    kind: 'Event',
    metadata: { name: `${name.slice(0, 200).replace(/[^a-z0-9]+$/, '')}.${hash.slice(0, 16)}`, namespace },
    eventTime: microTime(at),
    reportingController: 'windlass.dev/controller',
    reportingInstance: instance.slice(0, 128),
    action: reason.slice(0, 128),
    reason: reason.slice(0, 128),
    regarding: { apiVersion, kind, namespace, name, uid },
    note: shorten(message),
    type,
  };
}

/** At most 1,024 bytes, which is all that the API server takes. */
function shorten(text: string): string {
  const bytes = Buffer.from(text, 'utf8');
  if (bytes.length <= 1024) return text;
  return `${bytes
    .subarray(0, 1018)
    .toString('utf8')
    .replace(/\uFFFD$/, '')}…`;
}

/** Kubernetes' MicroTime. */
function microTime(at: number): string {
  return new Date(at).toISOString().replace('Z', '000Z');
}
