import type { EnvironmentSpec } from '../../crds/environment.ts';
import type { JsonObject } from '../../crds/json.ts';
import type { WorkflowSpec } from '../../crds/workflow.ts';
import type { Diagnostic } from './diagnostic.ts';
import { sha256Hex, workflowDigest } from './digest.ts';
import { suggest } from './expression/suggest.ts';
import { isGlob, matchFiles } from './files-globs.ts';
import { lintChildren } from './lint/children.ts';
import { checkFile } from './lint/index.ts';
import {
  diagnose,
  firstDiagnostics,
  type ParsedDocument,
  type ParsedDocumentOf,
  uniqueDiagnostics,
  type WrittenMetadata,
} from './parse/documents.ts';
import { countCharacters, type Path, type Position } from './parse/position.ts';
import { folderOf, joinPath, normalizePath, refusePath } from './paths.ts';
import type { RefContent } from './promotion/types.ts';

/** A version: what a run executes, immutable, by content digest. */
export interface Snapshot {
  digest: string;
  workflow: string;
  /** The spec as written (description left out of the digest, kept here). */
  spec: JsonObject;
  /** path → sha256 hex */
  files: Record<string, string>;
}

/** One entry of a commit's tree, or of a folder that is read as if it were one. */
export interface TreeEntry {
  /** From the root of the tree, separated by `/`. */
  path: string;
  /** git's mode: `100644`, `100755`, `120000` (symlink), `160000` (submodule). */
  mode: string;
  /** In bytes. */
  size: number;
  /** What the reader needs to read it: a blob id, a file name. */
  id: string;
}

/** A workflow of a tree, with the files it wants. */
export interface ReadWorkflow {
  name: string;
  spec: WorkflowSpec;
  /** Path of its file in the tree. */
  file: string;
  /** Tree paths of the files that `files` names, ascending, each once; none after a mistake in them. */
  wanted: string[];
  /** Where a value of its spec is, for later diagnostics. */
  locate(path: Path): Position;
}

/** Most files of one workflow, and most bytes of them together: they must fit a ConfigMap. */
const maxFiles = 256;
const maxFilesBytes = 900_000;
/**
 * Documents beyond are not even read, which git refuses as well, without a name for the file; parsing refuses those above
 * 1 MiB itself, where it can see whether they are ours.
 */
const maxReadBytes = 5 * 1024 * 1024;

const isDocument = (path: string) => /\.ya?ml$/.test(path);
const isSymlink = (entry: TreeEntry) => entry.mode === '120000';
const isSubmodule = (entry: TreeEntry) => entry.mode === '160000';

/** The YAML files below a folder of the tree (`''`: all of it), which `readWorkflows` and `readEnvironments` want to see. */
export function selectDocuments(
  entries: TreeEntry[],
  path: string,
): { documents: TreeEntry[]; diagnostics: Diagnostic[] } {
  const folder = normalizePath(path);
  const documents: TreeEntry[] = [];
  const diagnostics: Diagnostic[] = [];
  for (const entry of entries) {
    const below = folder === '' || entry.path.startsWith(`${folder}/`);
    if (!below && entry.path !== folder) continue;
    const refuse = (rule: string, message: string) =>
      diagnostics.push({ file: entry.path, line: 1, column: 1, severity: 'error', rule, message });
    if (isSubmodule(entry)) refuse('file-submodule', 'a submodule is not read; put its workflows into this repository');
    else if (isSymlink(entry) && (isDocument(entry.path) || !below)) {
      refuse('file-symlink', 'a symlink is not followed; put the file itself here');
    } else if (below && isDocument(entry.path) && !isSymlink(entry)) {
      if (entry.size > maxReadBytes)
        refuse('file-too-large', 'the file is over 5 MiB and is not read; make it smaller, or keep it elsewhere');
      else documents.push(entry);
    }
  }
  return { documents, diagnostics: uniqueDiagnostics(diagnostics) };
}

/**
 * Every workflow of a tree, parsed, linted, with its `files` resolved against the tree. One error anywhere makes the whole
 * tree refused (`refContent`), so workflows are only complete when no diagnostic is an error.
 */
export function readWorkflows(
  documents: ReadonlyMap<string, Uint8Array>,
  entries: TreeEntry[],
): { workflows: ReadWorkflow[]; diagnostics: Diagnostic[] } {
  const found = readKind(documents, 'Workflow');
  const workflows: ReadWorkflow[] = [];
  for (const document of found.documents) {
    const resolved = resolveFiles(document, entries);
    found.diagnostics.push(...resolved.diagnostics);
    const { name, file, locate } = document;
    workflows.push({ name, file, locate, spec: document.object.spec, wanted: resolved.wanted });
  }
  // Files with mistakes are left out, and their workflows would seem to be missing.
  if (!found.diagnostics.some(({ severity }) => severity === 'error')) {
    found.diagnostics.push(...lintChildren(found.documents));
  }
  return { workflows, diagnostics: uniqueDiagnostics(found.diagnostics) };
}

/**
 * Every Environment of the given files, parsed and linted. They are all that there are, so a name in `after` must be one
 * of them, and `source.name` one of `sources`.
 */
export function readEnvironments(
  documents: ReadonlyMap<string, Uint8Array>,
  sources: readonly string[],
): {
  environments: { file: string; metadata: WrittenMetadata & { name: string }; spec: EnvironmentSpec }[];
  diagnostics: Diagnostic[];
} {
  const found = readKind(documents, 'Environment');
  const environments = found.documents.map(({ file, name, object }) => {
    return { file, metadata: { ...object.metadata, name }, spec: object.spec };
  });
  const names = environments.map(({ metadata }) => metadata.name);
  // Files with mistakes are left out, and their environments would seem to be missing.
  if (!found.diagnostics.some(({ severity }) => severity === 'error')) {
    for (const document of found.documents) found.diagnostics.push(...unknownNames(document, names, sources));
  }
  return { environments, diagnostics: uniqueDiagnostics(found.diagnostics) };
}

function unknownNames(
  document: ParsedDocumentOf<'Environment'>,
  environments: readonly string[],
  sources: readonly string[],
): Diagnostic[] {
  const { after = [], source } = document.object.spec;
  const refuse = (path: Path, rule: string, message: string) =>
    diagnose(document.file, document, { path: ['spec', ...path], rule, message });
  const diagnostics = after.flatMap((name, i) => {
    if (environments.includes(name)) return [];
    const others = environments.filter((other) => other !== document.name);
    const hint = suggest(name, others) || '; add its file beside this one, or take it out';
    return [refuse(['after', i], 'environment-after-unknown', `there is no environment "${name}"${hint}`)];
  });
  if (!sources.includes(source.name)) {
    const message = `there is no source "${source.name}"; write ${sources.join(' or ')}`;
    diagnostics.push(refuse(['source', 'name'], 'environment-source-unknown', message));
  }
  return diagnostics;
}

/** All documents of one kind, each name once; other kinds are named in a warning, as nothing will come of them. */
function readKind<K extends 'Workflow' | 'Environment'>(
  documents: ReadonlyMap<string, Uint8Array>,
  kind: K,
): { documents: ParsedDocumentOf<K>[]; diagnostics: Diagnostic[] } {
  const found: ParsedDocumentOf<K>[] = [];
  const diagnostics: Diagnostic[] = [];
  const byName = new Map<string, ParsedDocument>();
  for (const [file, bytes] of [...documents].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const checked = checkFile(file, bytes);
    diagnostics.push(...checked.diagnostics);
    for (const document of checked.documents) {
      if (document.kind !== kind) {
        const message = `a ${document.kind} is not read from here; only ${kind} objects are`;
        diagnostics.push(diagnose(file, document, { path: ['kind'], severity: 'warning', rule: 'kind-here', message }));
        continue;
      }
      const other = byName.get(document.name);
      if (other) diagnostics.push(...duplicates(other, document));
      else byName.set(document.name, document);
      found.push(document as unknown as ParsedDocumentOf<K>);
    }
  }
  return { documents: found, diagnostics };
}

/** Both places, each naming the other. */
function duplicates(a: ParsedDocument, b: ParsedDocument): Diagnostic[] {
  return [
    [a, b],
    [b, a],
  ].flatMap(([here, there]) => {
    if (!here || !there) return [];
    const path = ['metadata', 'name'];
    const { line } = there.locate(path);
    const message = `${here.kind} "${here.name}" is also in ${there.file}:${line}; names are unique in a ref`;
    return [diagnose(here.file, here, { path, rule: 'duplicate-name', message })];
  });
}

function resolveFiles(
  document: ParsedDocumentOf<'Workflow'>,
  entries: TreeEntry[],
): { wanted: string[]; diagnostics: Diagnostic[] } {
  const { spec } = document.object;
  const folder = folderOf(document.file);
  const wanted = new Map<string, TreeEntry>();
  const diagnostics: Diagnostic[] = [];
  const refuse = (path: Path, rule: string, message: string) =>
    diagnostics.push(diagnose(document.file, document, { path, rule, message }));

  const below = new Map<string, TreeEntry>();
  const prefix = folder === '' ? '' : `${folder}/`;
  for (const entry of spec.files?.length ? entries : []) {
    if (entry.path.startsWith(prefix)) below.set(entry.path.slice(prefix.length), entry);
  }
  for (const [i, pattern] of (spec.files ?? []).entries()) {
    // Lint has refused it already.
    if (refusePath(pattern) !== null) continue;
    const path = ['spec', 'files', i];
    const matched = findEntries(pattern, below);
    if (matched.length === 0) refuse(path, 'files-no-match', `"${pattern}" matches no file beside this one`);
    for (const entry of matched) {
      if (isSymlink(entry)) refuse(path, 'files-symlink', `"${entry.path}" is a symlink; put the file itself there`);
      else if (isSubmodule(entry)) refuse(path, 'files-submodule', `"${entry.path}" is a submodule; copy its files`);
      else wanted.set(entry.path, entry);
    }
  }
  const bytes = [...wanted.values()].reduce((sum, entry) => sum + entry.size, 0);
  if (wanted.size > maxFiles) {
    refuse(['spec', 'files'], 'files-too-many', `files names ${wanted.size} files; at most ${maxFiles}`);
  } else if (bytes > maxFilesBytes) {
    refuse(['spec', 'files'], 'files-too-large', `files are ${bytes} bytes together; at most ${maxFilesBytes}`);
  }
  for (const template of templateFiles(spec)) {
    if (!wanted.has(joinPath(folder, normalizePath(template.file)))) {
      refuse(
        template.path,
        'template-file',
        `"${template.file}" is none of the workflow's files; name it in spec.files`,
      );
    }
  }
  return { wanted: diagnostics.length > 0 ? [] : [...wanted.keys()].sort(), diagnostics };
}

/** Most patterns are plain paths: those are looked up, not searched for. */
function findEntries(pattern: string, below: ReadonlyMap<string, TreeEntry>): TreeEntry[] {
  if (!isGlob(pattern)) {
    const entry = below.get(normalizePath(pattern));
    return entry ? [entry] : [];
  }
  const matches = matchFiles(pattern);
  return [...below].filter(([path]) => matches(path)).map(([, entry]) => entry);
}

function templateFiles(spec: WorkflowSpec): { path: Path; file: string }[] {
  return (['steps', 'finally'] as const).flatMap((section) =>
    (spec[section] ?? []).flatMap((step, i) => {
      const path = ['spec', section, i];
      return [
        ...templateFile(step, path),
        ...(step.fallback ?? []).flatMap((one, j) => templateFile(one, [...path, 'fallback', j])),
        ...templateFile(step.compensate ?? {}, [...path, 'compensate']),
      ];
    }),
  );
}

function templateFile({ template }: { template?: { file?: string } }, path: Path): { path: Path; file: string }[] {
  return template?.file === undefined ? [] : [{ path: [...path, 'template', 'file'], file: template.file }];
}

/**
 * The versions that workflows are, from the content of their files (by tree path; blobs by sha256).
 * @throws Error when a wanted file is not in `contents`: the reader read another tree.
 */
export function makeSnapshots(
  workflows: ReadWorkflow[],
  contents: ReadonlyMap<string, Uint8Array>,
): { snapshots: Snapshot[]; blobs: Map<string, Uint8Array>; diagnostics: Diagnostic[] } {
  const snapshots: Snapshot[] = [];
  const blobs = new Map<string, Uint8Array>();
  const diagnostics: Diagnostic[] = [];
  for (const { name, spec: written, file, wanted } of workflows) {
    const folder = folderOf(file);
    const files: Record<string, string> = {};
    for (const path of wanted) {
      const bytes = contents.get(path);
      if (!bytes) throw new Error(`the content of ${path} was not read`);
      const hex = sha256Hex(bytes);
      blobs.set(hex, bytes);
      files[path.slice(folder === '' ? 0 : folder.length + 1)] = hex;
    }
    for (const template of templateFiles(written)) {
      // Not among the files: the ref is refused already.
      const path = joinPath(folder, normalizePath(template.file));
      diagnostics.push(...checkTemplateFile(path, contents.get(path)));
    }
    const spec = written as unknown as JsonObject;
    snapshots.push({ digest: workflowDigest({ name, spec, files }), workflow: name, spec, files });
  }
  return { snapshots, blobs, diagnostics: uniqueDiagnostics(diagnostics) };
}

/** A template sees `vars` only: an expression in it would be left as it is, or be read as Jinja2 after a `$`. */
function checkTemplateFile(file: string, bytes: Uint8Array | undefined): Diagnostic[] {
  const lines = new TextDecoder().decode(bytes ?? new Uint8Array()).split('\n');
  const line = lines.findIndex((text) => text.includes('${{'));
  if (line === -1) return [];
  const column = countCharacters((lines[line] ?? '').split('${{', 1).join('')) + 1;
  const message = '${{ }} is not replaced in template files; pass the value by `vars` and write {{ name }}';
  return [{ file, line: line + 1, column, severity: 'error', rule: 'expression-in-text', message }];
}

/** Most diagnostics kept for one ref: they are stored with its Promotion and shown to people. */
const maxDiagnostics = 200;

/** What a tree holds, judged whole: `InvalidRef` on any error, `NoWorkflows` when there is none. */
export function refContent(snapshots: Snapshot[], diagnostics: Diagnostic[]): RefContent {
  if (diagnostics.some((d) => d.severity === 'error')) {
    return { ok: false, reason: 'InvalidRef', diagnostics: firstDiagnostics(diagnostics, maxDiagnostics) };
  }
  if (snapshots.length === 0) return { ok: false, reason: 'NoWorkflows', diagnostics };
  return { ok: true, workflows: snapshots.map(({ workflow, digest }) => ({ name: workflow, digest })) };
}
