import type { Path } from '../../parse/position.ts';
import type { Finding, Rule } from '../visit.ts';

/** Values put into the text of a script or template could add commands to it. */
export const expressionInText: Rule = {
  name: 'expression-in-text',
  check: ({ steps }) =>
    steps.flatMap(({ bodies }) =>
      bodies.flatMap(({ spec, path }) => [
        ...find(spec.run, [...path, 'run'], 'a script; pass the value by `env` and write "$NAME"'),
        ...find(
          spec.template?.text,
          [...path, 'template', 'text'],
          'a template; pass the value by `vars` and write {{ name }}',
        ),
      ]),
    ),
};

function find(text: string | undefined, path: Path, advice: string): Finding[] {
  const offset = text?.indexOf('${{') ?? -1;
  return offset === -1 ? [] : [{ path, offset, message: `\${{ }} is not replaced in ${advice}` }];
}
