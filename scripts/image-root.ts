import { cpSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, matchesGlob } from 'node:path';
import { readDockerfile } from './dockerfile.ts';

/**
 * Lays out what the Dockerfile adds to its base image, for machines without a container engine: the files of its COPY lines,
 * of which .dockerignore keeps some out, and the packages that `npm ci --omit=dev --omit=optional` installs, taken
 * from the installed ones. What its `apt-get` adds must come from elsewhere.
 *
 *   node scripts/image-root.ts FOLDER     prints the image's settings as JSON
 */
const root = join(import.meta.dirname, '..');
const [folder] = process.argv.slice(2);
if (folder === undefined) {
  process.stderr.write('usage: node scripts/image-root.ts FOLDER\n');
  process.exit(2);
}

const image = readDockerfile(readFileSync(join(root, 'Dockerfile'), 'utf8'));
const ignored = readFileSync(join(root, '.dockerignore'), 'utf8')
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#') && !line.startsWith('!') && line !== '*');

for (const { from, sources, target } of image.copies) {
  for (const source of sources) {
    // A folder gives its content, a file goes into the folder.
    const to = join(folder, target, source.includes('.') || source === 'LICENSE' ? basename(source) : '');
    if (from === null) copy(source, to);
    else copyPackages(to);
  }
}
for (const { name, line } of image.accounts) {
  const base = { passwd: 'root:x:0:0:root:/root:/bin/sh', group: 'root:x:0:' }[name];
  mkdirSync(join(folder, 'etc'), { recursive: true });
  writeFileSync(join(folder, 'etc', name), `${base}\n${line}\n`);
}
process.stdout.write(`${JSON.stringify(image.settings)}\n`);

function copy(source: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true });
  cpSync(join(root, source), to, {
    recursive: true,
    filter: (path) => !ignored.some((pattern) => matchesGlob(path.slice(root.length + 1), pattern)),
  });
}

interface Lock {
  packages: Record<string, { dev?: boolean; optional?: boolean; devOptional?: boolean; peer?: boolean }>;
}

function copyPackages(to: string): void {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as Lock;
  for (const [path, { dev, optional, devOptional }] of Object.entries(packages)) {
    if (path === '' || dev || optional || devOptional) continue;
    const nested = join(root, path, 'node_modules');
    cpSync(join(root, path), join(dirname(to), path), {
      recursive: true,
      dereference: true,
      filter: (file) => file !== nested && !image.removed.some((pattern) => matchesGlob(basename(file), pattern)),
    });
  }
  // What only installed folders say, npm makes anew.
  for (const file of globSync(join(dirname(to), 'node_modules/.*'))) rmSync(file, { recursive: true });
}
