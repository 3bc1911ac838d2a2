import { readFile } from 'node:fs/promises';

/** One finished request, as the API server recorded it. */
export interface AuditEvent {
  verb: string;
  requestURI: string;
  userAgent?: string;
  /** When it was answered; with fractions of a second to the microsecond. */
  stageTimestamp: string;
  stage: string;
  objectRef?: { resource?: string; subresource?: string; namespace?: string; name?: string };
  responseStatus?: { code?: number };
  requestObject?: {
    status?: { phase?: string; containerStatuses?: { state?: { terminated?: object } }[] };
  };
}

export async function readAudit(file: string): Promise<AuditEvent[]> {
  const lines = (await readFile(file, 'utf8')).split('\n');
  // The last one may not be whole yet.
  return lines.slice(0, -1).map((line) => JSON.parse(line) as AuditEvent);
}

export interface HandOff {
  /** Milliseconds from a Pod's phase Succeeded to the creation of the next; less than 0 when that was first. */
  fromSucceeded: number;
  /** The same from the first status that tells that its container has ended, about a second before the phase does. */
  fromEnd: number;
}

/** In a namespace whose Pods run one after another. */
export function handOffs(events: AuditEvent[], namespace: string): HandOff[] {
  const created: number[] = [];
  const succeeded = new Map<string, number>();
  const ended = new Map<string, number>();
  for (const { verb, objectRef, responseStatus, requestObject, stageTimestamp } of events) {
    if (objectRef?.namespace !== namespace || objectRef.resource !== 'pods') continue;
    const at = milliseconds(stageTimestamp);
    if (verb === 'create' && objectRef.subresource === undefined && responseStatus?.code === 201) created.push(at);
    const { name = '' } = objectRef;
    const { phase, containerStatuses } = requestObject?.status ?? {};
    if (containerStatuses?.some(({ state }) => state?.terminated) && !ended.has(name)) ended.set(name, at);
    if (phase === 'Succeeded' && !succeeded.has(name)) succeeded.set(name, at);
  }
  const starts = created.toSorted((a, b) => a - b);
  const [succeededAt, endedAt] = [succeeded, ended].map((at) => [...at.values()].toSorted((a, b) => a - b));
  return starts.slice(1).map((start, i) => ({
    fromSucceeded: start - (succeededAt?.[i] ?? Number.NaN),
    fromEnd: start - (endedAt?.[i] ?? Number.NaN),
  }));
}

/**
 * What a user agent asked for in a namespace, once each, without watches and relists. A workflow's own status is written
 * once, however many runs of it there are.
 */
export function requests(events: AuditEvent[], userAgent: string, namespace: string): AuditEvent[] {
  return events.filter(
    (event) =>
      event.stage !== 'ResponseStarted' &&
      event.userAgent === userAgent &&
      event.objectRef?.namespace === namespace &&
      event.objectRef.resource !== 'workflows' &&
      event.verb !== 'watch' &&
      event.verb !== 'list',
  );
}

/** To the microsecond, which Date.parse drops. */
function milliseconds(timestamp: string): number {
  const [, seconds = '', fraction = ''] = /^(.{19})\.?(\d*)Z$/.exec(timestamp) ?? [];
  return Date.parse(`${seconds}Z`) + Number(`0.${fraction || '0'}`) * 1000;
}
