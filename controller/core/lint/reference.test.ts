import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { workflowRules } from './workflow.ts';

const root = new URL('../../../', import.meta.url);
const page = readFileSync(new URL('docs/reference/lint.md', root), 'utf8');
const documented = new Set(
  page
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .flatMap((line) => [...(line.split('|')[1] ?? '').matchAll(/`([a-z0-9-]+)`/g)].map(([, rule]) => rule)),
);

test('every rule is in the reference', () => {
  const folder = new URL('test/fixtures/lint/err/', root);
  const seen = readdirSync(folder)
    .filter((file) => file.endsWith('.out'))
    .flatMap((file) =>
      [...readFileSync(new URL(file, folder), 'utf8').matchAll(/ \[([a-z-]+)\]$/gm)].map(([, r]) => r),
    );
  // The rule `expression` reports under finer names only.
  const named = workflowRules.map((rule) => rule.name).filter((name) => name !== 'expression');
  expect([...new Set([...named, ...seen])].filter((rule) => !documented.has(rule))).toEqual([]);
});

test('the reference has no rule that is not there', () => {
  const core = new URL('controller/core/', root);
  const sources = readdirSync(core, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'))
    .map((file) => readFileSync(new URL(file, core), 'utf8'))
    .join('\n');
  // Rules of the schema are named after its keywords.
  const known = (rule = '') => sources.includes(`'${rule}'`) || rule.startsWith('schema-');
  expect([...documented].filter((rule) => !known(rule))).toEqual([]);
});
