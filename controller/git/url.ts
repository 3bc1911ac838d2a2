import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { UnsupportedUrl } from './errors.ts';

export type Home = 'laptop' | 'cluster';

/** A URL that was found to be harmless, in the form in which git gets it. */
export type RepositoryUrl =
  | { kind: 'https'; url: string; origin: string }
  | { kind: 'ssh'; url: string }
  | { kind: 'local'; url: string; path: string };

const expected = 'Use https://host/path, ssh://user@host/path or user@host:path';

/**
 * Reads a source's URL: https and ssh everywhere, a path or file: URL on a laptop.
 * @throws UnsupportedUrl
 */
export function parseRepositoryUrl(url: string, home: Home): RepositoryUrl {
  const shown = JSON.stringify(url.slice(0, 200));
  const form = home === 'laptop' ? `${expected}, or a path.` : `${expected}.`;
  if (url === '' || url.startsWith('-') || /\p{Cc}/u.test(url))
    throw new UnsupportedUrl(`The repository URL ${shown} is empty, starts with - or has control characters. ${form}`);
  if (/^[A-Za-z0-9+.-]+::/.test(url))
    throw new UnsupportedUrl(`The repository URL ${shown} names a remote helper, which could run any program. ${form}`);
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//.exec(url)?.[1]?.toLowerCase();
  if (scheme === 'https' || scheme === 'ssh') return parseNetworkUrl(url, scheme, form);
  if (scheme === 'file') return local(() => fileURLToPath(url));
  if (scheme !== undefined)
    throw new UnsupportedUrl(`The repository URL ${shown} has the scheme ${scheme}, which is not allowed. ${form}`);
  // As git decides: a colon before the first slash means host:path.
  const scp = /^([^/:]+):(.*)$/s.exec(url);
  if (!scp) return local(() => resolve(url));
  if (
    !/^(?:[A-Za-z0-9_][\w.-]*@)?[A-Za-z0-9][\w.-]*$/.test(scp[1] ?? '') ||
    (scp[2] ?? '').startsWith('-') ||
    scp[2] === ''
  )
    throw new UnsupportedUrl(`The repository URL ${shown} is not of the form user@host:path. ${form}`);
  return { kind: 'ssh', url };

  function local(path: () => string): RepositoryUrl {
    if (home === 'cluster')
      throw new UnsupportedUrl(`The repository URL ${shown} is a local path, which only works on a laptop. ${form}`);
    try {
      return { kind: 'local', url: path(), path: path() };
    } catch (cause) {
      throw new UnsupportedUrl(`The repository URL ${shown} is not a file URL of this machine. ${form}`, { cause });
    }
  }
}

/** One spelling of what names the same repository: two that differ are two repositories. What is no URL stays as it is. */
export function canonicalUrl(url: string): string {
  try {
    const parsed = parseRepositoryUrl(url, 'laptop');
    if (parsed.kind === 'local') return `file://${resolve(parsed.path)}`;
    if (parsed.kind === 'ssh') return withoutSlash(parsed.url);
    const { origin, pathname, search } = new URL(parsed.url);
    return `${origin}${withoutSlash(pathname)}${search}`;
  } catch (error) {
    if (error instanceof UnsupportedUrl) return url;
    throw error;
  }
}

function withoutSlash(path: string): string {
  return path.replace(/\/+$/, '');
}

function parseNetworkUrl(url: string, scheme: 'https' | 'ssh', form: string): RepositoryUrl {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch (cause) {
    throw new UnsupportedUrl(`The repository URL cannot be read as a URL. ${form}`, { cause });
  }
  if (parsed.password !== '')
    throw new UnsupportedUrl(
      `The repository URL of ${parsed.host} contains a password. Take it out and put username and password into the Secret named by secretRef.`,
    );
  if (!/^[A-Za-z0-9[]/.test(parsed.hostname) || decodeURIComponent(parsed.username).startsWith('-'))
    throw new UnsupportedUrl(
      `The repository URL has the host ${JSON.stringify(parsed.hostname)}, which is not one. ${form}`,
    );
  return scheme === 'https' ? { kind: 'https', url, origin: `https://${parsed.host}` } : { kind: 'ssh', url };
}
