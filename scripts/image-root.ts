import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, matchesGlob } from 'node:path';
import { type Copy, readDockerfile } from './dockerfile.ts';

/**
 * Lays out what the Dockerfile adds to its base image, for machines without a container engine: the files of its COPY lines,
 * of which .dockerignore keeps some out; the stages that they come from are made by the commands written there. What the
 * `apt-get` of the last stage adds must come from elsewhere.
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

// Beside the folder, so that a stage's files are moved, not copied.
mkdirSync(folder, { recursive: true });
const stages = mkdtempSync(`${folder}.stages.`);
try {
  for (const copied of image.copies) copy(copied, folder);
} finally {
  rmSync(stages, { recursive: true });
}
for (const { name, line } of image.accounts) {
  const base = { passwd: 'root:x:0:0:root:/root:/bin/sh', group: 'root:x:0:' }[name];
  mkdirSync(join(folder, 'etc'), { recursive: true });
  writeFileSync(join(folder, 'etc', name), `${base}\n${line}\n`);
}
process.stdout.write(`${JSON.stringify(image.settings)}\n`);

function copy({ from, sources, target }: Copy, into: string): void {
  for (const source of sources) {
    // A folder gives its content, a file goes into the folder.
    const isFolder = from !== null || !(source.includes('.') || source === 'LICENSE');
    const to = join(into, target, isFolder ? '' : basename(source));
    mkdirSync(dirname(to), { recursive: true });
    if (from !== null) renameSync(join(build(from), source), to);
    else {
      cpSync(join(root, source), to, {
        recursive: true,
        filter: (path) => !ignored.some((pattern) => matchesGlob(path.slice(root.length + 1), pattern)),
      });
    }
  }
}

/** The root of a stage. */
function build(name: string): string {
  const stage = image.stages[name];
  if (stage === undefined) throw new Error(`the Dockerfile has no stage ${name}`);
  const into = join(stages, name);
  for (const copied of stage.copies) copy(copied, into);
  for (const command of stage.commands) {
    // What npm fetched before is good enough.
    const env = { ...outsideOfNpm(), npm_config_prefer_offline: 'true' };
    execFileSync('sh', ['-ec', command], {
      cwd: join(into, stage.workdir),
      env,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  }
  return into;
}

/** The environment without what an npm that began this says of its own project, which the stage's is not to change. */
function outsideOfNpm(): NodeJS.ProcessEnv {
  const kept = ['npm_config_registry', 'npm_config_cache', 'npm_config_userconfig'];
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('npm_') || kept.includes(name)),
  );
}
