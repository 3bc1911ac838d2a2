import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { RepositoryUrl } from './url.ts';
import type { Home } from './url.ts';
import { AuthenticationFailed, HostKeyUnknown } from './errors.ts';

/** The keys of the Secret that a source's `secretRef` names, as Flux has them. */
export interface Credentials {
  /** Private ssh key, unencrypted. */
  identity?: string;
  /** Lines of a known_hosts file. Required with ssh in a cluster. */
  known_hosts?: string;
  username?: string;
  /** Password or token for https. */
  password?: string;
  /** PEM certificates of the authority that signed an https server's certificate. */
  'ca.crt'?: string;
}

/** Credentials as git can use them, for one operation. */
export interface PreparedCredentials {
  /** `-c` settings; they name files, never values. */
  config: string[];
  env: Record<string, string>;
  /** Replaces every secret in a text. */
  mask(text: string): string;
  /** Deletes the files. */
  dispose(): Promise<void>;
}

interface Given {
  url: RepositoryUrl;
  credentials: Credentials | null;
  home: Home;
  /** Where the private folder is made: the mirror, which is swept when it is opened after a crash. */
  directory: string;
}

/**
 * Writes credentials into files of a private folder that lives as long as the operation, so that no secret is ever in an
 * argument list or an environment, which other processes can read.
 * @throws HostKeyUnknown and AuthenticationFailed for what can be seen to be missing before git is asked
 */
export async function prepareCredentials({ url, credentials, home, directory }: Given): Promise<PreparedCredentials> {
  if (url.kind === 'local' || (credentials === null && home === 'laptop')) return nothing;
  if (url.kind === 'ssh' && home === 'cluster') {
    if (!credentials?.identity)
      throw new AuthenticationFailed(
        `${url.url} needs an ssh key: put a private key into the key identity of the Secret named by secretRef.`,
      );
    if (!credentials.known_hosts)
      throw new HostKeyUnknown(
        `${url.url} needs known_hosts: put the server's line from ssh-keyscan, checked, into the Secret's key known_hosts.`,
      );
  }
  if (credentials === null) return nothing;
  const folder = await mkdtemp(resolve(directory, 'credentials-'));
  const write = async (name: string, text: string): Promise<string> => {
    await writeFile(join(folder, name), text, { mode: 0o600 });
    return join(folder, name);
  };
  const dispose = (): Promise<void> => rm(folder, { recursive: true, force: true });
  const mask = (text: string): string => maskSecrets(text, credentials);
  try {
    const settings = url.kind === 'ssh' ? await ssh(credentials, write) : await https(url.origin, credentials, write);
    return { ...settings, mask, dispose };
  } catch (cause) {
    await dispose();
    throw cause;
  }
}

const nothing: PreparedCredentials = { config: [], env: {}, mask: (text) => text, dispose: async () => {} };

type Write = (name: string, text: string) => Promise<string>;
type Settings = Pick<PreparedCredentials, 'config' | 'env'>;

async function ssh(credentials: Credentials, write: Write): Promise<Settings> {
  const options = ['BatchMode=yes', 'StrictHostKeyChecking=yes', 'ConnectTimeout=20', 'UpdateHostKeys=no'];
  if (credentials.identity) {
    // OpenSSH refuses a key without a final newline, which editors and `kubectl create secret` like to drop.
    const identity = await write('identity', `${credentials.identity.replaceAll('\r\n', '\n').trimEnd()}\n`);
    options.push(`IdentityFile=${sshPath(identity)}`, 'IdentitiesOnly=yes', 'IdentityAgent=none');
  }
  if (credentials.known_hosts) {
    const knownHosts = await write('known_hosts', `${credentials.known_hosts.trimEnd()}\n`);
    options.push(`UserKnownHostsFile=${sshPath(knownHosts)}`, 'GlobalKnownHostsFile=/dev/null');
  }
  const flags = options.flatMap((option) => ['-o', quote(option)]);
  return { config: [], env: { GIT_SSH_COMMAND: ['ssh', '-F', '/dev/null', ...flags].join(' ') } };
}

async function https(origin: string, credentials: Credentials, write: Write): Promise<Settings> {
  const config: string[] = [];
  if (credentials['ca.crt']) config.push(`http.sslCAInfo=${await write('ca.crt', credentials['ca.crt'])}`);
  if (credentials.password) {
    const lines = `username=${oneLine(credentials.username ?? 'git')}\npassword=${oneLine(credentials.password)}\n`;
    const file = await write('credential', lines);
    // Bound to this origin: a redirect elsewhere gets nothing. The empty helper first drops all others.
    config.push(
      'credential.helper=',
      `credential.${origin}.helper=!f() { test "$1" != get || cat ${quote(file)}; }; f`,
    );
  }
  return { config, env: {} };
}

/** ssh splits a path at spaces and replaces %-tokens in it. */
function sshPath(path: string): string {
  return `"${path.replace(/[\\"]/g, '\\$&').replaceAll('%', '%%')}"`;
}

function oneLine(text: string): string {
  return text.replace(/[\r\n]+$/, '').replace(/[\r\n\0].*$/s, '');
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function maskSecrets(text: string, credentials: Credentials): string {
  const password = credentials.password?.trim();
  if (!password) return text;
  const forms = [
    password,
    encodeURIComponent(password),
    Buffer.from(`${credentials.username ?? 'git'}:${password}`).toString('base64'),
    Buffer.from(password).toString('base64'),
  ];
  return forms.toSorted((a, b) => b.length - a.length).reduce((masked, form) => masked.replaceAll(form, '***'), text);
}
