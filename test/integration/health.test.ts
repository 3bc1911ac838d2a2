import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Environment } from '@marcbachmann/cel-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { kstatus } from '../fixtures/kstatus.ts';
import { type Case, statusCases } from '../fixtures/statuses.ts';

const cases = statusCases().map((one): [string, Case] => [`${one.kind}: ${one.what}`, one]);
const file = (name: string) => readFileSync(new URL(`../../docs/health/${name}`, import.meta.url), 'utf8');

describe('kstatus', () => {
  test.each(cases)('%s', (_, one) => {
    expect(kstatus(one.object)).toBe(one.kstatus);
    const holds = (one.object.status?.conditions ?? [])
      .filter(({ status }) => status === 'True')
      .map(({ type }) => type);
    expect(holds).not.toEqual(expect.arrayContaining(['Reconciling', 'Stalled']));
  });
});

describe('Flux', () => {
  const { healthCheckExprs } = parse(file('flux.yaml')) as { healthCheckExprs: Record<string, string>[] };
  const cel = new Environment({ unlistedVariablesAreDyn: true });

  test.each(cases)('%s', (_, one) => {
    const check = healthCheckExprs.find(({ kind }) => kind === one.kind);
    const context = { status: {}, ...one.object };
    // Flux asks in this order, and takes the first that holds.
    const first = (['inProgress', 'failed', 'current'] as const).find((name) =>
      cel.parse(check?.[name] ?? '')(structuredClone(context) as Record<string, unknown>),
    );
    expect(first).toBe(one.flux);
  });
});

describe('Argo CD', () => {
  // Argo CD itself runs it in gopher-lua, whose program is glua.
  const lua = ['glua', 'lua5.1', 'lua'].find((program) => spawnSync(program, ['-v']).status === 0);

  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'windlass-health-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  test.skipIf(lua === undefined).each(cases)('%s (needs a lua program)', (_, one) => {
    const script = `local obj = ${literal(one.object)}\nlocal health = (function()\n${file('windlass.lua')}\nend)()\nio.write(health.status)\n`;
    const path = join(folder, 'health.lua');
    writeFileSync(path, script);
    expect(execFileSync(lua ?? '', [path], { encoding: 'utf8' })).toBe(one.argo);
  });
});

/** A JSON value as Lua writes it. */
function literal(value: unknown): string {
  if (Array.isArray(value)) return `{ ${value.map(literal).join(', ')} }`;
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).map(([key, member]) => `[${JSON.stringify(key)}] = ${literal(member)}`);
    return `{ ${members.join(', ')} }`;
  }
  return JSON.stringify(value);
}
