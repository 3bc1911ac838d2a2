import { createHash } from 'node:crypto';
import type { AttemptKey } from '../../core/run/types.ts';
import type { Pod } from './pod.ts';

/** What finds the Pods of attempts, and tells which attempt each is. */
export const labels = {
  managedBy: 'app.kubernetes.io/managed-by',
  /** `attemptHash` of the attempt. */
  attempt: 'windlass.dev/attempt',
  run: 'windlass.dev/run-uid',
  step: 'windlass.dev/step',
  workflow: 'windlass.dev/workflow',
  /** On ConfigMaps: the version whose files they hold, as a hash. */
  files: 'windlass.dev/files',
} as const;

/** On the Pods of containers: their outputs are the whole termination message, as no wrapper of ours wrote it. */
export const plainOutputs = 'windlass.dev/plain-outputs';

/** The selector of every Pod that an attempt runs in. */
export const attemptSelector = `${labels.managedBy}=windlass,${labels.attempt}`;

/** Names an attempt's Pod: the same on every replica and at every start. */
export function attemptHash({ runId, step, item, attempt }: AttemptKey): string {
  // A step's own attempts keep the name of before there were items: one that an older controller began is adopted.
  return createHash('sha256')
    .update(JSON.stringify(item < 0 ? [runId, step, attempt] : [runId, step, item, attempt]))
    .digest('hex')
    .slice(0, 40);
}

/** The attempt that a Pod says to be. */
export function hashOf(pod: Pod): string {
  return pod.metadata.labels?.[labels.attempt] ?? '';
}

/** The collection of Pods of a namespace, null for all. */
export function podsPath(namespace: string | null): string {
  return namespace === null ? '/api/v1/pods' : `/api/v1/namespaces/${namespace}/pods`;
}

/** At most 63 characters, as it is the Pod's host name, too. What comes before the hash is for people. */
export function podName(runName: string, key: AttemptKey): string {
  const hash = attemptHash(key).slice(0, 12);
  return `${slug(`${slug(runName, 30)}-${slug(key.step, 18)}`, 50)}-${hash}`;
}

/** A label's value: what does not fit is cut, as labels are for selecting and people; facts are in annotations. */
export function labelValue(text: string): string {
  return text
    .slice(0, 63)
    .replaceAll(/[^A-Za-z0-9._-]/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .replace(/[^A-Za-z0-9]+$/, '');
}

function slug(text: string, length: number): string {
  return (
    text
      .toLowerCase()
      .replaceAll(/[^a-z0-9]+/g, '-')
      .slice(0, length)
      .replaceAll(/^-+|-+$/g, '') || 'x'
  );
}
