import type { Rule } from '../visit.ts';

/** A URL that no request can be sent to; one that begins with an expression is checked when it is known. */
export const httpUrl: Rule = {
  name: 'http-url',
  check: ({ steps }) =>
    steps.flatMap(({ bodies }) =>
      bodies.flatMap(({ spec, path }) => {
        const url = spec.http?.url;
        if (url === undefined || url.startsWith('${{') || /^https?:\/\/./i.test(url)) return [];
        return [{ path: [...path, 'http', 'url'], message: 'url must start with http:// or https://' }];
      }),
    ),
};
