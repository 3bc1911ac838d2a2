import type { Diagnostic } from '../core/diagnostic.ts';
import type { RefContent } from '../core/promotion/types.ts';
import { makeSnapshots, readWorkflows, refContent, type Snapshot, selectDocuments } from '../core/snapshot.ts';
import { LimitExceeded } from '../git/errors.ts';
import type { Repository } from '../git/repository.ts';

/** What a commit holds, with the versions to store when it is good. */
export interface JudgedCommit {
  content: RefContent;
  snapshots: Snapshot[];
  blobs: ReadonlyMap<string, Uint8Array>;
}

/**
 * Reads every workflow of a commit below `path` and judges the commit whole. The same for a commit for ever, so the
 * verdict is kept. @throws GitError when the repository cannot be read
 */
export async function judgeCommit(repository: Repository, commit: string, path: string): Promise<JudgedCommit> {
  try {
    const entries = await repository.tree(commit, path);
    const selected = selectDocuments(entries, path);
    const byPath = new Map(entries.map((entry) => [entry.path, entry.id]));
    const documents = await readPaths(
      repository,
      byPath,
      selected.documents.map((entry) => entry.path),
    );
    const { workflows, diagnostics } = readWorkflows(documents, entries);
    const contents = await readPaths(
      repository,
      byPath,
      workflows.flatMap((workflow) => workflow.wanted),
    );
    const made = makeSnapshots(workflows, contents);
    const content = refContent(made.snapshots, [...selected.diagnostics, ...diagnostics, ...made.diagnostics]);
    return content.ok ? { content, ...made } : refused(content);
  } catch (error) {
    if (!(error instanceof LimitExceeded)) throw error;
    return refused({ ok: false, reason: 'InvalidRef', diagnostics: [tooLarge(path, error.message)] });
  }
}

/** Nothing of a bad commit is stored but the verdict. */
function refused(content: RefContent): JudgedCommit {
  return { content, snapshots: [], blobs: new Map() };
}

function tooLarge(file: string, message: string): Diagnostic {
  return { file, line: 1, column: 1, severity: 'error', rule: 'file-too-large', message };
}

/** The contents of files of a tree, by path; each blob is read once however many paths have it. */
export async function readPaths(
  repository: Repository,
  ids: ReadonlyMap<string, string>,
  paths: string[],
): Promise<Map<string, Uint8Array>> {
  const wanted = paths.map((path) => [path, ids.get(path) ?? ''] as const);
  const blobs = await repository.read(wanted.map(([, id]) => id));
  return new Map(wanted.map(([path, id]) => [path, blobs.get(id) ?? new Uint8Array()]));
}
