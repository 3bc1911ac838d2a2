import { describe, expect, test } from 'vitest';
import { completeLockfile } from './lockfile.ts';

const lockfile = (packages: object) =>
  JSON.stringify({ lockfileVersion: 3, packages: { '': { name: 'x' }, ...packages } });

describe('completeLockfile', () => {
  test('adds what the registry did not offer, bound to its platform', () => {
    const tool = {
      version: '1.0.0',
      dev: true,
      optionalDependencies: { '@t/cli-linux-arm64-musl': '1.0.0', '@t/darwin-x64': '1.0.0' },
    };
    expect(JSON.parse(completeLockfile(lockfile({ 'node_modules/tool': tool }))).packages).toEqual({
      '': { name: 'x' },
      'node_modules/@t/cli-linux-arm64-musl': {
        version: '1.0.0',
        os: ['linux'],
        cpu: ['arm64'],
        libc: ['musl'],
        dev: true,
        optional: true,
      },
      'node_modules/@t/darwin-x64': { version: '1.0.0', os: ['darwin'], cpu: ['x64'], dev: true, optional: true },
      'node_modules/tool': tool,
    });
  });

  test('leaves a complete one as it is', () => {
    const text = completeLockfile(
      lockfile({ 'node_modules/a': { version: '1.0.0', optionalDependencies: { 'b-linux-x64': '1' } } }),
    );
    expect(completeLockfile(text)).toBe(text);
  });

  test('does not guess: a package for every platform would be installed on every one', () => {
    const entry = { 'node_modules/a': { version: '1.0.0', optionalDependencies: { fsevents: '2.3.3' } } };
    expect(() => completeLockfile(lockfile(entry))).toThrow('fsevents is not in package-lock.json');
  });
});
