import { resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { UnsupportedUrl } from './errors.ts';
import { canonicalUrl, parseRepositoryUrl } from './url.ts';

test.each([
  ['https://github.com/team/flows.git', 'https'],
  ['https://bot@git.example.com:8443/team/flows', 'https'],
  ['ssh://git@github.com/team/flows.git', 'ssh'],
  ['ssh://git@github.com:2222/team/flows.git', 'ssh'],
  ['git@github.com:team/flows.git', 'ssh'],
  ['github.com:team/flows.git', 'ssh'],
])('%s works everywhere', (url, kind) => {
  expect(parseRepositoryUrl(url, 'laptop')).toMatchObject({ kind, url });
  expect(parseRepositoryUrl(url, 'cluster')).toMatchObject({ kind, url });
});

test.each([
  ['/srv/flows.git', '/srv/flows.git'],
  ['file:///srv/my%20flows', '/srv/my flows'],
  ['./flows:old', resolve('flows:old')],
  ['.', resolve('.')],
])('%s works on a laptop only', (url, path) => {
  expect(parseRepositoryUrl(url, 'laptop')).toEqual({ kind: 'local', url: path, path });
  expect(() => parseRepositoryUrl(url, 'cluster')).toThrow(UnsupportedUrl);
});

test.each([
  ['https://GitHub.com:443/team/flows/', 'https://bot@github.com/team/flows'],
  ['ssh://git@github.com/team/flows/', 'ssh://git@github.com/team/flows'],
  ['/srv/flows/', 'file:///srv/flows'],
  ['./flows', resolve('flows')],
])('%s and %s are one repository', (one, other) => {
  expect(canonicalUrl(one)).toBe(canonicalUrl(other));
});

test.each([
  ['https://github.com/team/flows', 'https://github.com/team/other'],
  ['https://github.com/team/flows', 'https://github.com:8443/team/flows'],
  ['https://github.com/team/flows', 'ssh://github.com/team/flows'],
  ['/srv/flows', '/srv/flows.git'],
  ['ftp://one', 'ftp://other'],
])('%s and %s are two', (one, other) => {
  expect(canonicalUrl(one)).not.toBe(canonicalUrl(other));
});

describe('refused in both homes, with a message that says what to use', () => {
  test.each([
    '',
    '-oProxyCommand=id',
    '--upload-pack=touch /tmp/x',
    'ext::sh -c "touch /tmp/x"',
    'fd::17/foo',
    'http://example.com/flows.git',
    'git://example.com/flows.git',
    'ftp://example.com/flows.git',
    'ssh://-oProxyCommand=id/x',
    'ssh://-oProxyCommand=id@host/x',
    '-oProxyCommand=id:x',
    'git@-oProxyCommand=id:x',
    'git@host:--upload-pack=id',
    'git@host:',
    'https://',
    'https://user:hunter2@example.com/flows.git',
    'https://example.com/a\nb',
    'git@host:a\0b',
    'file://elsewhere/srv/flows',
  ])('%j', (url) => {
    for (const home of ['laptop', 'cluster'] as const) {
      expect(() => parseRepositoryUrl(url, home)).toThrow(UnsupportedUrl);
      expect(() => parseRepositoryUrl(url, home)).toThrow(/Use https|secretRef/);
      expect(() => parseRepositoryUrl(url, home)).not.toThrow(/hunter2/);
    }
  });
});
