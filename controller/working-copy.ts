import { basename, dirname, join, relative, resolve } from 'node:path';
import { stat } from 'node:fs/promises';
import type { Diagnostic } from './core/diagnostic.ts';
import { checkFile } from './core/lint/index.ts';
import { uniqueDiagnostics } from './core/parse/documents.ts';
import {
  makeSnapshots,
  readEnvironments,
  readWorkflows,
  selectDocuments,
  type Snapshot,
  type TreeEntry,
} from './core/snapshot.ts';
import { type Directory, openDirectory } from './git/directory.ts';

/** What files on disk hold, judged as the same files in a commit would be. */
export interface WorkingCopy {
  snapshots: Snapshot[];
  /** Contents of the workflows' files, by sha256. */
  blobs: ReadonlyMap<string, Uint8Array>;
  /** How many Windlass objects were found. */
  objects: number;
  /** Files are named relative to `cwd`. */
  diagnostics: Diagnostic[];
}

/** The only source of a laptop whose repository has environment files. */
const laptopSource = 'repo';
/** Folder of environment files, from the root of a repository. */
const environmentsFolder = 'environments';

/**
 * Reads one file, or a folder. A folder that has `path` or `environments` in it is read as a repository is: workflows
 * from the one, environments from the other; any other folder is read whole.
 * @throws when nothing is there or it cannot be read
 */
export async function readWorkingCopy(location: string, options: { cwd: string; path: string }): Promise<WorkingCopy> {
  const full = resolve(options.cwd, location);
  const isFolder = (await stat(full)).isDirectory();
  const root = isFolder ? full : dirname(full);
  const read = isFolder ? await readFolder(openDirectory(root), options.path) : await readFile(root, basename(full));
  const shown = (file: string) => relative(options.cwd, join(root, file)) || file;
  const diagnostics = read.diagnostics.map((d) => ({ ...d, file: shown(d.file) }));
  return { ...read, diagnostics: uniqueDiagnostics(diagnostics) };
}

async function readFolder(directory: Directory, path: string): Promise<WorkingCopy> {
  const entries = await directory.tree();
  const has = (folder: string) => entries.some((entry) => entry.path.startsWith(`${folder}/`));
  if (!has(path) && !has(environmentsFolder)) return await readEverything(directory, entries, '');
  const workflows = has(path) ? await readEverything(directory, entries, path, 'Workflow') : empty;
  const stages = has(environmentsFolder) ? await readStages(directory, entries) : empty;
  return {
    ...workflows,
    objects: workflows.objects + stages.objects,
    diagnostics: [...workflows.diagnostics, ...stages.diagnostics],
  };
}

const empty: WorkingCopy = { snapshots: [], blobs: new Map(), objects: 0, diagnostics: [] };

/** `only`: the kind that is read from this folder; another one in it gets a warning. */
async function readEverything(
  directory: Directory,
  entries: TreeEntry[],
  folder: string,
  only?: 'Workflow',
): Promise<WorkingCopy> {
  const selected = selectDocuments(entries, folder);
  const read = await readDocuments(directory, entries, await contents(directory, selected.documents));
  const diagnostics = [...selected.diagnostics, ...read.diagnostics];
  return { ...read, diagnostics: only ? diagnostics : diagnostics.filter((d) => d.rule !== 'kind-here') };
}

async function readFile(root: string, name: string): Promise<WorkingCopy> {
  const directory = openDirectory(root);
  const entries = await directory.tree();
  const bytes = await contents(directory, [{ path: name, mode: '100644', size: 0, id: name }]);
  const read = await readDocuments(directory, entries, bytes);
  // Asked for by name, a file counts even when nothing in it looks like one of ours.
  const checked = checkFile(name, bytes.get(name) ?? new Uint8Array(), { named: true });
  return { ...read, diagnostics: [...checked.diagnostics, ...read.diagnostics.filter((d) => d.rule !== 'kind-here')] };
}

async function readDocuments(
  directory: Directory,
  entries: TreeEntry[],
  documents: ReadonlyMap<string, Uint8Array>,
): Promise<WorkingCopy> {
  const { workflows, diagnostics } = readWorkflows(documents, entries);
  const wanted = new Set(workflows.flatMap((workflow) => workflow.wanted));
  const files = await contents(
    directory,
    entries.filter((entry) => wanted.has(entry.path)),
  );
  const made = makeSnapshots(workflows, files);
  const objects = [...documents].reduce((sum, [file, bytes]) => sum + checkFile(file, bytes).documents.length, 0);
  return { ...made, objects, diagnostics: [...diagnostics, ...made.diagnostics] };
}

async function readStages(directory: Directory, entries: TreeEntry[]): Promise<WorkingCopy> {
  const selected = selectDocuments(entries, environmentsFolder);
  const { environments, diagnostics } = readEnvironments(await contents(directory, selected.documents), [laptopSource]);
  return { ...empty, objects: environments.length, diagnostics: [...selected.diagnostics, ...diagnostics] };
}

async function contents(directory: Directory, entries: readonly TreeEntry[]): Promise<Map<string, Uint8Array>> {
  const blobs = await directory.read(entries.map((entry) => entry.id));
  return new Map(entries.map((entry) => [entry.path, blobs.get(entry.id) ?? new Uint8Array()]));
}
