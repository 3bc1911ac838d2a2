import { appendFile, cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { simpleGit } from 'simple-git';

/** What a team does to its repository; every change is a commit of its own on a branch, merged by a merge commit. */
export interface TeamRepository {
  path: string;
  /** Merges one more line in the report's template; returns the merge commit. */
  mergeChange(): Promise<string>;
  /** Merges one workflow with an unknown field and one with a wrong expression; returns the merge commit. */
  mergeMistakes(): Promise<string>;
  /** Takes the newest merge back; returns the commit that does. */
  revertMerge(): Promise<string>;
  tag(name: string): Promise<string>;
  /** Points a tag at the tip of main. */
  moveTag(name: string): Promise<string>;
}

const nightly = 'workflows/nightly-report.yaml';
const weekly = 'workflows/weekly-report.yaml';
const template = 'workflows/report.md.j2';

/** Makes a repository of the quickstart's files at `path`, with one commit on main. */
export async function createTeamRepository(quickstart: string, path: string): Promise<TeamRepository> {
  for (const folder of ['workflows', 'environments']) {
    await cp(join(quickstart, folder), join(path, folder), { recursive: true });
  }
  // An environment of its own, so that nobody's git settings, identity or hooks matter.
  const git = simpleGit(path).env({ PATH: process.env['PATH'] ?? '', HOME: path, LC_ALL: 'C' });
  await git.init(['--initial-branch=main']);
  await git.addConfig('user.name', 'Ada Dev').addConfig('user.email', 'ada@example.com');

  async function commit(message: string): Promise<string> {
    await git.add('--all').commit(message);
    return await git.revparse('HEAD');
  }

  async function merge(branch: string, message: string, change: () => Promise<unknown>): Promise<string> {
    await git.checkoutLocalBranch(branch);
    await change();
    await commit(message);
    await git.checkout('main').merge(['--no-ff', '-m', `Merge ${branch}: ${message}`, branch]);
    await git.deleteLocalBranch(branch);
    return await git.revparse('HEAD');
  }

  async function tag(name: string, ...flags: string[]): Promise<string> {
    await git.tag([...flags, '-m', name, '-a', name]);
    return await git.revparse(`${name}^{commit}`);
  }

  await commit('A nightly report');
  return {
    path,
    mergeChange: () =>
      merge('say-how-busy', 'say how busy the night was', () =>
        appendFile(join(path, template), "\n{% if lane == 'bulk' %}A busy night.{% else %}A quiet night.{% endif %}\n"),
      ),
    mergeMistakes: () =>
      merge('weekly-report', 'a weekly report as well', async () => {
        const text = await readFile(join(path, nightly), 'utf8');
        await writeFile(join(path, nightly), text.replace('timeout: 1m', 'timout: 1m'));
        const copy = text.replace('name: nightly-report', 'name: weekly-report');
        await writeFile(join(path, weekly), copy.replace('.outputs.rows > 50', '.outputs.row > 350'));
      }),
    async revertMerge() {
      await git.raw('revert', '--no-edit', '--mainline', '1', 'HEAD');
      return await git.revparse('HEAD');
    },
    tag: (name) => tag(name),
    moveTag: (name) => tag(name, '--force'),
  };
}
