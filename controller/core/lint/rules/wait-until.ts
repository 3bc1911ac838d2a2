import type { Rule } from '../visit.ts';

/** Seconds and an offset are part of RFC 3339: without them an instant would depend on who reads it. */
const instant = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/;

/** An instant that is written out must be one; an expression is checked when it is known. */
export const waitUntil: Rule = {
  name: 'wait-until',
  check: ({ steps }) =>
    steps.flatMap(({ spec, path }) => {
      const until = spec.wait?.until;
      if (until === undefined || until.includes('${{')) return [];
      if (instant.test(until) && !Number.isNaN(Date.parse(until))) return [];
      const message = `"${until}" is no RFC 3339 instant such as 2026-01-31T08:00:00Z`;
      return [{ path: [...path, 'wait', 'until'], message }];
    }),
};
