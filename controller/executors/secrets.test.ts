import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createSecretDirectory, readSecrets, SecretRefused } from './secrets.ts';

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'windlass-secrets-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

async function put(path: string, value: string, mode = 0o600): Promise<string> {
  const file = join(directory, path);
  await mkdir(join(file, '..'), { recursive: true });
  await writeFile(file, value);
  await chmod(file, mode);
  return file;
}

describe('secrets in a directory', () => {
  test('one newline at the end is not part of the value', async () => {
    await put('dev/api/token', 'hunter2\n');
    await put('dev/api/key.pem', 'a\nb\n\n');
    const secrets = createSecretDirectory(directory);
    expect(await secrets.read('dev', 'api', 'token')).toBe('hunter2');
    expect(await secrets.read('dev', 'api', 'key.pem')).toBe('a\nb\n');
  });

  test('a missing one says which file to make', async () => {
    const read = readSecrets(createSecretDirectory(directory), 'dev', { T: { name: 'api', key: 'token' } });
    const message = `secret api has no key token in namespace dev; put it into ${join(directory, 'dev/api/token')}, readable by you alone (mode 0600)`;
    expect(await read).toEqual({ error: { type: 'secretMissing', message, retryable: false } });
  });

  test('none is null, also when there is no directory at all', async () => {
    expect(await createSecretDirectory(directory).read('dev', 'api', 'token')).toBeNull();
    expect(await createSecretDirectory(join(directory, 'none')).read('dev', 'api', 'token')).toBeNull();
    await put('dev/api', 'a file');
    expect(await createSecretDirectory(directory).read('dev', 'api', 'token')).toBeNull();
  });

  test.each([
    ['..', 'api', 'token'],
    ['dev', '..', 'token'],
    ['dev', 'api', '..'],
    ['dev', 'api', '../../prod/api/token'],
    ['dev/../prod', 'api', 'token'],
    ['dev', '', 'token'],
    ['dev', 'api', 'a\0b'],
  ])('%s/%s/%s leads nowhere', async (namespace, name, key) => {
    await put('prod/api/token', 'hunter2');
    await put('token', 'hunter2');
    expect(await createSecretDirectory(directory).read(namespace, name, key)).toBeNull();
  });

  test('links are refused, of files and of folders', async () => {
    await put('prod/api/token', 'hunter2');
    await mkdir(join(directory, 'dev'));
    await symlink(join(directory, 'prod/api'), join(directory, 'dev/api'));
    await mkdir(join(directory, 'dev/own'));
    await symlink(join(directory, 'prod/api/token'), join(directory, 'dev/own/token'));
    const secrets = createSecretDirectory(directory);
    await expect(secrets.read('dev', 'api', 'token')).rejects.toThrow(SecretRefused);
    await expect(secrets.read('dev', 'own', 'token')).rejects.toThrow(SecretRefused);
  });

  test.each([0o644, 0o640, 0o604])('mode %o is refused with the command that mends it', async (mode) => {
    const file = await put('dev/api/token', 'hunter2', mode);
    await expect(createSecretDirectory(directory).read('dev', 'api', 'token')).rejects.toThrow(`chmod 600 '${file}'`);
  });

  test('a folder in the place of a key is refused', async () => {
    await mkdir(join(directory, 'dev/api/token'), { recursive: true });
    await expect(createSecretDirectory(directory).read('dev', 'api', 'token')).rejects.toThrow('not a plain file');
  });
});

describe('the secrets of a step', () => {
  test('a mistake is a value, the world failing is thrown', async () => {
    await put('dev/api/token', 'hunter2');
    await put('dev/api/open', 'x', 0o644);
    const secrets = createSecretDirectory(directory);
    const read = (key: string) => readSecrets(secrets, 'dev', { TOKEN: { name: 'api', key } });
    expect(await read('token')).toEqual({ values: { TOKEN: 'hunter2' } });
    expect(await read('gone')).toMatchObject({ error: { type: 'secretMissing', retryable: false } });
    expect(await read('open')).toMatchObject({ error: { type: 'secretRefused', retryable: false } });
    const failing = { read: () => Promise.reject(new Error('disk')) };
    await expect(readSecrets(failing, 'dev', { T: { name: 'a', key: 'b' } })).rejects.toThrow('disk');
  });
});
