import type { WorkflowSpec } from '../../../../crds/workflow.ts';
import { maxDurationMs, parseDuration } from '../../duration.ts';
import type { Path } from '../../parse/position.ts';
import type { Rule } from '../visit.ts';

/** A limit of nothing ends everything at once, and one of centuries is a typo. Pauses between retries may be zero. */
export const duration: Rule = {
  name: 'duration',
  check({ spec, steps }) {
    const all: Written[] = [
      { path: ['spec', 'timeout'], text: spec.timeout },
      { path: ['spec', 'queueTimeout'], text: spec.queueTimeout },
      { path: ['spec', 'defaults', 'timeout'], text: spec.defaults?.timeout },
      ...pauses(spec.defaults?.retry, ['spec', 'defaults', 'retry']),
    ];
    for (const { path, spec: step, bodies } of steps) {
      all.push({ path: [...path, 'deadline'], text: step.deadline });
      all.push({ path: [...path, 'wait', 'for'], text: step.wait?.for });
      all.push({ path: [...path, 'approval', 'timeout'], text: step.approval?.timeout });
      all.push({ path: [...path, 'until', 'interval'], text: step.until?.interval, zero: true });
      all.push({ path: [...path, 'cache', 'ttl'], text: step.cache?.ttl });
      for (const { path: at, spec: body } of bodies) {
        all.push({ path: [...at, 'timeout'], text: body.timeout });
        all.push({ path: [...at, 'http', 'requestTimeout'], text: body.http?.requestTimeout });
        all.push(...pauses(body.retry, [...at, 'retry']));
      }
    }
    return all.flatMap(({ path, text, zero }) => {
      if (text === undefined) return [];
      const ms = parseDuration(text);
      if (ms === 0 && !zero) return [{ path, message: `${path.at(-1)} must be longer than ${text}` }];
      return ms > maxDurationMs ? [{ path, message: `${text} is longer than a year; is the unit right?` }] : [];
    });
  },
};

interface Written {
  path: Path;
  text: string | undefined;
  zero?: boolean;
}

function pauses(retry: NonNullable<WorkflowSpec['defaults']>['retry'], path: Path): Written[] {
  return [
    { path: [...path, 'backoff', 'initial'], text: retry?.backoff?.initial, zero: true },
    { path: [...path, 'backoff', 'max'], text: retry?.backoff?.max, zero: true },
  ];
}
