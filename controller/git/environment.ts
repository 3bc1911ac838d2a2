import type { Home, RepositoryUrl } from './url.ts';

/** The controller's environment, as handed in. */
export type ProcessEnvironment = Readonly<Record<string, string | undefined>>;

const everywhere = ['PATH', 'TMPDIR'];

/** How to reach a server. */
const network = [
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
  'http_proxy',
  'https_proxy',
  'all_proxy',
  'no_proxy',
  'HTTPS_PROXY',
  'ALL_PROXY',
  'NO_PROXY',
];

/** What the user's own git, ssh and credential helper need. */
const users = [
  'HOME',
  'USER',
  'LOGNAME',
  'XDG_CONFIG_HOME',
  'XDG_RUNTIME_DIR',
  'DBUS_SESSION_BUS_ADDRESS',
  'GIT_CONFIG_GLOBAL',
  'GIT_CONFIG_SYSTEM',
  'GIT_CONFIG_NOSYSTEM',
  'GIT_SSL_CAINFO',
  'SSH_AUTH_SOCK',
  'GIT_SSH',
  'GIT_SSH_COMMAND',
];

const noConfiguration = { HOME: '/nonexistent', GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1' };

const always = {
  LC_ALL: 'C',
  GIT_LITERAL_PATHSPECS: '1',
  GIT_NO_REPLACE_OBJECTS: '1',
  // Like `-c core.hooksPath=/dev/null`, but also for the gits that git starts.
  GIT_CONFIG_COUNT: '1',
  GIT_CONFIG_KEY_0: 'core.hooksPath',
  GIT_CONFIG_VALUE_0: '/dev/null',
};

/** For commands on the mirror: no configuration but its own, whoever runs us. */
export function mirrorEnvironment(from: ProcessEnvironment): Record<string, string> {
  return { ...pick(from, everywhere), ...noConfiguration, ...always };
}

/** For commands that talk to the remote: on a laptop with the user's configuration and agents. */
export function remoteEnvironment(from: ProcessEnvironment, home: Home, url: RepositoryUrl): Record<string, string> {
  return {
    ...pick(from, [...everywhere, ...network]),
    ...(home === 'laptop' ? pick(from, users) : noConfiguration),
    ...always,
    GIT_TERMINAL_PROMPT: '0',
    // protocol.allow=never with exceptions, but stronger: no configuration can add to it.
    GIT_ALLOW_PROTOCOL: url.kind === 'local' ? 'file' : 'https:ssh',
  };
}

function pick(from: ProcessEnvironment, names: readonly string[]): Record<string, string> {
  const entries = names.map((name) => [name, from[name]] as const);
  return Object.fromEntries(entries.filter((entry): entry is readonly [string, string] => entry[1] !== undefined));
}
