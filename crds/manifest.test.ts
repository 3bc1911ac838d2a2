import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import type { JsonObject } from './json.ts';
import { findKind, kinds } from './kinds.ts';
import { crdManifest } from './manifest.ts';

const definitions = Object.values(kinds);

/** Every schema below a schema, with the path to it. */
function* schemas(schema: JsonObject, path: string): Generator<[string, JsonObject]> {
  yield [path, schema];
  for (const [name, property] of Object.entries((schema['properties'] ?? {}) as JsonObject)) {
    yield* schemas(property as JsonObject, `${path}.${name}`);
  }
  for (const key of ['items', 'additionalProperties']) {
    const inner = schema[key];
    if (inner !== null && typeof inner === 'object') yield* schemas(inner as JsonObject, `${path}[]`);
  }
}

function rootOf(manifest: JsonObject): JsonObject {
  const [version] = (manifest['spec'] as { versions: [{ schema: { openAPIV3Schema: JsonObject } }] }).versions;
  return version.schema.openAPIV3Schema;
}

describe.each(definitions)('$kind', (definition) => {
  const manifest = crdManifest(definition);
  const root = rootOf(manifest);
  const properties = root['properties'] as Record<string, JsonObject>;

  test('is structural: every schema has a type or keeps what it does not know, and nothing JSON Schema alone has', () => {
    for (const [path, schema] of schemas(root, definition.kind)) {
      const typed = schema['type'] !== undefined || schema['x-kubernetes-preserve-unknown-fields'] === true;
      expect(typed, path).toBe(true);
      // Of these the API server takes `oneOf` with `required` alone.
      for (const option of (schema['oneOf'] ?? []) as JsonObject[])
        expect(Object.keys(option), path).toEqual(['required']);
      for (const key of ['const', 'anyOf', '$id', 'propertyNames', 'patternProperties', 'default']) {
        expect(schema, path).not.toHaveProperty([key]);
      }
      // The API server refuses both in one schema.
      if (schema['properties']) expect(schema, path).not.toHaveProperty(['additionalProperties']);
    }
  });

  test('every field of spec and status says what it is', () => {
    for (const part of ['spec', 'status']) {
      for (const [path, schema] of schemas(properties[part] ?? {}, part)) {
        if (path.endsWith('[]')) continue;
        expect(schema['description'], path).toEqual(expect.any(String));
      }
    }
  });

  test('text, lists and maps are bounded, so that the API server can reckon what a rule costs', () => {
    for (const [path, schema] of schemas(properties['spec'] ?? {}, 'spec')) {
      if (schema['type'] === 'string' && !schema['enum'] && !schema['pattern']) {
        expect(schema['maxLength'], path).toEqual(expect.any(Number));
      }
      if (schema['type'] === 'array') expect(schema['maxItems'], path).toEqual(expect.any(Number));
      if (schema['additionalProperties']) expect(schema['maxProperties'], path).toEqual(expect.any(Number));
    }
  });

  test('is below 200 KB, and the committed file holds it', () => {
    const name = definition.kind.replace(/(?!^)[A-Z]/g, (letter) => `-${letter}`).toLowerCase();
    const text = readFileSync(join(import.meta.dirname, `${name}.yaml`), 'utf8');
    expect(text.length).toBeLessThan(200_000);
    expect(parse(text)).toEqual(JSON.parse(JSON.stringify(manifest)));
  });

  test('is found by each of its names, in any case', () => {
    const names = [definition.kind, definition.plural, definition.singular, ...definition.shortNames];
    for (const name of names) expect(findKind(name.toUpperCase())).toBe(definition.kind);
  });
});

test('no name means two kinds', () => {
  const names = definitions.flatMap((d) => [d.plural, d.singular, ...d.shortNames]);
  expect(new Set(names).size).toBe(names.length);
  expect(findKind('pod')).toBeUndefined();
});
