import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('.', import.meta.url));

function sources(): string[] {
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !/\.(test|fixture)\.ts$/.test(file))
    .map((file) => `${root}${file}`);
}

async function bundle(entryPoints: string[]) {
  const result = await build({
    entryPoints,
    bundle: true,
    write: false,
    metafile: true,
    outdir: '/nowhere',
    platform: 'neutral',
    format: 'esm',
    // Dependencies are published in several forms; none of these conditions gives one that needs Node.
    mainFields: ['browser', 'module', 'main'],
    conditions: ['browser', 'import', 'module'],
    logLevel: 'silent',
  });
  return result.metafile;
}

test('the core and all it imports bundle for a platform that has no node: modules', async () => {
  const { inputs } = await bundle(sources());
  // The bundle is of the core itself, not of an empty list of files.
  expect(Object.keys(inputs).some((file) => file.endsWith('controller/core/snapshot.ts'))).toBe(true);
});

test('a node: import would make that bundle fail', async () => {
  await expect(bundle([`${root}pure.test.ts`])).rejects.toThrow(/node:/);
});

test('the core imports nothing of the repository but itself and the contract', async () => {
  const { inputs } = await bundle(sources());
  const foreign = Object.keys(inputs).filter((file) => !/(^|\/)(node_modules|controller\/core|crds)\//.test(file));
  expect(foreign).toEqual([]);
});

test('the core reads no clock, randomness, process or console', () => {
  const impure =
    /\b(Date\.now|Math\.random|performance\.now|setTimeout|setInterval|fetch|crypto\.\w+)\(|\bnew Date\(\)|\bprocess\.|\bconsole\./;
  expect(sources().filter((file) => impure.test(readFileSync(file, 'utf8')))).toEqual([]);
  expect(impure.test('const now = Date.now()')).toBe(true);
});
