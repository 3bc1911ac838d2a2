import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, test } from 'vitest';
import { openapiDocument } from './openapi.ts';

interface Operation {
  operationId: string;
  summary: string;
  parameters?: { in: string; name: string; required?: boolean; description?: string; schema: object }[];
  responses: Record<string, { description: string; content?: Record<string, { schema: object }> }>;
  security: object[];
}

const document = JSON.parse(JSON.stringify(await openapiDocument())) as {
  openapi: string;
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, object> };
};
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
);

describe('the OpenAPI document', () => {
  test('is 3.1 and the same every time', async () => {
    expect(document.openapi).toMatch(/^3\.1\./);
    expect(JSON.parse(JSON.stringify(await openapiDocument()))).toEqual(document);
  });

  test('names each operation once, says what it is for and what can go wrong', () => {
    const ids = operations.map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { operation } of operations) {
      expect(operation.summary).toMatch(/^[A-Z]/);
      expect(operation.responses['default']?.content).toHaveProperty(['application/problem+json']);
    }
  });

  test.each(operations)(
    'describes the parameters of $method $path, and demands those of the path only',
    ({ path, operation }) => {
      const parameters = operation.parameters ?? [];
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1] ?? '');
      const documented = parameters.filter((p) => p.in === 'path').map((p) => p.name);
      expect(new Set(documented)).toEqual(new Set(inPath));
      expect(parameters.filter((p) => !p.description).map((p) => p.name)).toEqual([]);
      expect(parameters.filter((p) => p.required).map((p) => p.name)).toEqual(documented);
    },
  );

  test.each(operations)('says that $method $path needs the token, unless it is a probe', ({ path, operation }) => {
    expect(operation.security).toEqual(path.startsWith('/api/') ? [{ token: [] }] : []);
  });

  test('has schemas that are valid, and references that lead somewhere', () => {
    const ajv = new Ajv2020({ strict: false });
    const compile = (name: string) =>
      ajv.compile({ $ref: `#/components/schemas/${name}`, components: document.components });
    expect(() => Object.keys(document.components.schemas).map(compile)).not.toThrow();
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)];
    expect(references.length).toBeGreaterThan(50);
    for (const [, name = ''] of references) expect(document.components.schemas).toHaveProperty([name]);
  });
});
