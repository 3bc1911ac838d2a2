import type { Finding, Rule } from '../visit.ts';

/** Requests that no HTTP client sends. */
export const httpRequest: Rule = {
  name: 'http-request',
  check: ({ steps }) =>
    steps.flatMap(({ bodies }) =>
      bodies.flatMap(({ spec, path }) => {
        const { http } = spec;
        if (!http) return [];
        const findings: Finding[] = [];
        const method = http.method ?? 'GET';
        if (http.body !== undefined && (method === 'GET' || method === 'HEAD')) {
          findings.push({
            path: [...path, 'http', 'body'],
            at: 'key',
            message: `a ${method} request has no body; set method`,
          });
        }
        const seen = new Set<string>();
        for (const field of ['headers', 'secretHeaders'] as const) {
          for (const name of Object.keys(http[field] ?? {})) {
            const at = { path: [...path, 'http', field, name], at: 'key' as const };
            if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) {
              findings.push({ ...at, message: `"${name}" is no name of a header: letters, digits and - make one` });
            } else if (seen.has(name.toLowerCase())) {
              findings.push({ ...at, message: `header "${name}" is set twice; names do not differ by case` });
            }
            seen.add(name.toLowerCase());
          }
        }
        return findings;
      }),
    ),
};
