import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { addRun, addWorkflow, type ApiWorld, openApiWorld } from '../test/fixtures/api.ts';
import { openapiDocument } from './openapi.ts';

let world: ApiWorld;
beforeAll(async () => {
  world = await openApiWorld();
  await addWorkflow(world.store);
  await addRun(world.store, { name: 'one', run: { phase: 'Running' }, steps: [{ step: 'approve', phase: 'Waiting' }] });
});
afterAll(() => world.close());

const document = await openapiDocument();
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.keys(methods).map((method) => ({ method: method.toUpperCase(), path })),
);

/** Sometimes what is there, so that requests get past the first check. */
const known: Record<string, string> = { namespace: 'dev', name: 'one', step: 'approve' };
const awkward = fc.oneof(
  fc.string({ unit: 'binary', minLength: 1, maxLength: 12 }),
  fc.constantFrom('\0', '..', '%', 'a'.repeat(300), 'x', '0', '-1', '1e999', '__proto__', 'constructor'),
);
const names = ['limit', 'after', 'phase', 'since', 'namespace', 'failed', 'position', 'attempt', 'kind', 'workflow'];
const keys = [
  'spec',
  'metadata',
  'workflow',
  'inputs',
  'environment',
  'ref',
  'as',
  'comment',
  'reason',
  'name',
  'labels',
];
const json = fc.oneof(
  fc.jsonValue({ maxDepth: 4 }),
  fc.dictionary(fc.constantFrom(...keys), fc.oneof(awkward, fc.jsonValue({ maxDepth: 3 }), fc.constant('report'))),
);

const sometimes = (parts: fc.Arbitrary<Record<string, string>>) =>
  fc.oneof({ weight: 2, arbitrary: fc.constant<Record<string, string>>({}) }, { weight: 1, arbitrary: parts });

/** Requests of a browser or a client always are Unicode; what is not cannot be put into a URL. */
const encode = (text: string) => encodeURIComponent(text.toWellFormed());

test('whatever is asked, the answer is no failure of the server and keeps to the document', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...operations),
      sometimes(fc.dictionary(fc.constantFrom('namespace', 'name', 'step', 'digest'), awkward, { maxKeys: 2 })),
      sometimes(fc.dictionary(fc.oneof(fc.constantFrom(...names), awkward), awkward, { maxKeys: 3 })),
      json,
      async ({ method, path }, parts, query, body) => {
        const filled = path.replaceAll(/\{(\w+)\}/g, (_, part: string) => encode(parts[part] ?? known[part] ?? 'x'));
        const search = Object.entries(query).map(([name, value]) => `${encode(name)}=${encode(value)}`);
        // following a run that goes on would never end
        if (path.endsWith('/{name}/logs')) return;
        // A URL resolves `..` before it is sent: what is asked is another path then.
        const { pathname } = new URL(filled, 'http://here');
        const answer = await world.call(method, `${pathname}?${search.join('&')}`, method === 'GET' ? undefined : body);
        expect(answer.status).toBeLessThan(500);
      },
    ),
    { numRuns: 600 },
  );
});
