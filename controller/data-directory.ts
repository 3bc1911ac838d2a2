import { randomBytes, randomUUID } from 'node:crypto';
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';

/** The folder that everything of a laptop's controller lives in, by default `.windlass`. */
export interface DataDirectory {
  path: string;
  /** Which home the rows and replicas of this controller belong to: this host and this folder. */
  home: string;
  /** Bearer token of the API's one user. */
  token: string;
  attempts: string;
  repositories: string;
  artifacts: string;
  secrets: string;
  /** Says where the API listens, so that the CLI finds it; taken away by `retract`. */
  announce(url: string): Promise<void>;
  retract(): Promise<void>;
}

/** Name of the file that holds the API's URL while a controller runs. */
export const addressFile = 'address';
export const tokenFile = 'token';

/**
 * Makes the folder (only its owner may enter; git ignores it) and what must be in it, or finds it again.
 * @throws when the folder cannot be made or written
 */
export async function openDataDirectory(path: string): Promise<DataDirectory> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  await chmod(path, 0o700);
  await writeFile(join(path, '.gitignore'), '*\n');
  const id = await keep(join(path, 'id'), () => randomUUID());
  const token = await keep(join(path, tokenFile), () => randomBytes(24).toString('base64url'));
  const folder = async (name: string): Promise<string> => {
    await mkdir(join(path, name), { recursive: true, mode: 0o700 });
    return join(path, name);
  };
  const address = join(path, addressFile);
  return {
    path,
    home: `${hostname()}:${id}`,
    token,
    attempts: await folder('attempts'),
    repositories: await folder('repositories'),
    artifacts: await folder('artifacts'),
    secrets: await folder('secrets'),
    announce: (url) => writeFile(address, `${url}\n`, { mode: 0o600 }),
    retract: () => rm(address, { force: true }),
  };
}

/** The text of a private file, made once. */
async function keep(file: string, make: () => string): Promise<string> {
  try {
    const text = (await readFile(file, 'utf8')).trim();
    if (text !== '') return text;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const text = make();
  await writeFile(file, `${text}\n`, { mode: 0o600 });
  return text;
}
