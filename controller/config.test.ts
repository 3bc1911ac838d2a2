import { expect, test } from 'vitest';
import { readConfig } from './config.ts';

test('what is not set is null, and so is what is set to nothing', () => {
  const nothing = { config: { databaseUrl: null, s3Credentials: null, logLevel: null, pod: null }, problems: [] };
  expect(readConfig({})).toEqual(nothing);
  expect(readConfig({ DATABASE_URL: '', WINDLASS_LOG_LEVEL: '' })).toEqual(nothing);
});

test('what is set is read', () => {
  expect(readConfig({ DATABASE_URL: 'postgres://u@h/db', WINDLASS_LOG_LEVEL: 'debug' })).toEqual({
    config: { databaseUrl: 'postgres://u@h/db', s3Credentials: null, logLevel: 'debug', pod: null },
    problems: [],
  });
});

test('credentials of a bucket are both or none', () => {
  const read = (env: Record<string, string>) => readConfig(env).config.s3Credentials;
  const both = { AWS_ACCESS_KEY_ID: 'id', AWS_SECRET_ACCESS_KEY: 'secret' };
  expect(read(both)).toEqual({ accessKeyId: 'id', secretAccessKey: 'secret', sessionToken: null });
  expect(read({ ...both, AWS_SESSION_TOKEN: 't' })?.sessionToken).toBe('t');
  expect(read({ AWS_ACCESS_KEY_ID: 'id' })).toBeNull();
});

test('a Pod is known by all three of its variables', () => {
  const env = { WINDLASS_POD_NAMESPACE: 'windlass', WINDLASS_POD_NAME: 'windlass-0', WINDLASS_POD_UID: 'u' };
  expect(readConfig(env).config.pod).toEqual({ namespace: 'windlass', name: 'windlass-0', uid: 'u' });
  expect(readConfig({ ...env, WINDLASS_POD_UID: '' }).config.pod).toBeNull();
});

test.each([
  [{ DATABASE_URL: 'mysql://h/db' }, 'DATABASE_URL'],
  [{ DATABASE_URL: 'postgres://[' }, 'DATABASE_URL'],
  [{ WINDLASS_LOG_LEVEL: 'loud' }, 'WINDLASS_LOG_LEVEL'],
])('%j is a problem that names the variable and not its value', (env, variable) => {
  const { problems } = readConfig(env);
  expect(problems).toHaveLength(1);
  expect(problems[0]).toContain(variable);
  expect(problems[0]).not.toContain('mysql://h');
});
