import { constants } from 'node:fs';
import { lstat, open, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import type { SecretReader } from '../seams/executor.ts';

/** A secret is there but must not be used as it is: a mistake of the person who keeps it. The message says what to do. */
export class SecretRefused extends Error {
  override name = 'SecretRefused';
}

const largest = 1024 * 1024;
const name = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;
const keyName = /^[-._a-zA-Z0-9]{1,253}$/;

/**
 * Secrets in files: `<directory>/<namespace>/<name>/<key>`, readable by their owner only. One newline at the end is not
 * part of the value, so that `echo TOKEN > file` does what it looks like.
 * @throws SecretRefused when the file can be read by others, is a link, not a plain file, or larger than 1 MiB.
 */
export function createSecretDirectory(directory: string): SecretReader {
  return {
    place: (namespace, secret, key) => join(directory, namespace, secret, key),
    async read(namespace, secret, key) {
      if (!name.test(namespace) || !name.test(secret) || !keyName.test(key) || key === '.' || key === '..') return null;
      try {
        return await readSecretFile(directory, namespace, secret, key);
      } catch (error) {
        const code = (error as NodeJS.ErrnoException).code;
        if (code === 'ENOENT' || code === 'ENOTDIR') return null;
        if (error instanceof SecretRefused) throw error;
        throw new Error(`secret ${namespace}/${secret}, key ${key}, cannot be read`, { cause: error });
      }
    },
  };
}

async function readSecretFile(directory: string, namespace: string, secret: string, key: string): Promise<string> {
  const folder = join(await realpath(directory), namespace, secret);
  if ((await realpath(folder)) !== folder) throw new SecretRefused(`${folder} is a link; put the files there`);
  const path = join(folder, key);
  if ((await lstat(path)).isSymbolicLink()) throw new SecretRefused(`${path} is a link; put the value there`);
  await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  const found = await file.stat();
  if (!found.isFile()) throw new SecretRefused(`${path} is not a plain file`);
  if ((found.mode & 0o077) !== 0) throw new SecretRefused(`${path} can be read by others; run: chmod 600 '${path}'`);
  if (found.size > largest) throw new SecretRefused(`${path} is larger than 1 MiB`);
  return (await file.readFile('utf8')).replace(/\r?\n$/, '');
}

/**
 * Reads what a step asks for: values by the name the step gives them, or the mistake that keeps it from starting.
 * @throws when the world failed.
 */
export async function readSecrets(
  secrets: SecretReader,
  namespace: string,
  wanted: Record<string, { name: string; key: string }>,
): Promise<
  | { values: Record<string, string> }
  | { error: { type: 'secretMissing' | 'secretRefused'; message: string; retryable: false } }
> {
  const values: Record<string, string> = {};
  for (const [as, ref] of Object.entries(wanted)) {
    try {
      const value = await secrets.read(namespace, ref.name, ref.key);
      if (value === null) {
        const where = secrets.place?.(namespace, ref.name, ref.key);
        const hint =
          where === undefined
            ? '; create it, labelled windlass.dev/use=allowed'
            : `; put it into ${where}, readable by you alone (mode 0600)`;
        const message = `secret ${ref.name} has no key ${ref.key} in namespace ${namespace}${hint}`;
        return { error: { type: 'secretMissing', message, retryable: false } };
      }
      values[as] = value;
    } catch (error) {
      if (!(error instanceof SecretRefused)) throw error;
      return { error: { type: 'secretRefused', message: error.message, retryable: false } };
    }
  }
  return { values };
}
