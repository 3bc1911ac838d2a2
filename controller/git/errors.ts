/** A failure of git or of the repository. Each message says what is wrong and what to do; secrets are masked. */
export class GitError extends Error {
  override name = 'GitError';
}

/** The repository did not answer, is not there, or is not a git repository. Worth trying again later. */
export class RepositoryUnreachable extends GitError {
  override name = 'RepositoryUnreachable';
}

/** The server refused the credentials, or asked for some when there were none. */
export class AuthenticationFailed extends GitError {
  override name = 'AuthenticationFailed';
}

/** The ssh server's host key is not in known_hosts, or is another one than there. */
export class HostKeyUnknown extends GitError {
  override name = 'HostKeyUnknown';
}

/** The source's branch is not in the repository. */
export class BranchMissing extends GitError {
  override name = 'BranchMissing';
}

/** A limit on time, on the size of a fetch, on one file or on a listing was reached; git was ended. */
export class LimitExceeded extends GitError {
  override name = 'LimitExceeded';
}

/** The URL is not one that may be used here. Only a change of the spec helps. */
export class UnsupportedUrl extends GitError {
  override name = 'UnsupportedUrl';
}

/** An object was asked for that was never fetched. */
export class ObjectMissing extends GitError {
  override name = 'ObjectMissing';
}

/** What is known about a failed `git fetch` or `git ls-remote`. */
export interface RemoteFailure {
  /** The URL as shown to people. */
  url: string;
  /** The mirror. */
  directory: string;
  /** git's stderr, secrets masked. */
  stderr: string;
}

/** The typed error for what git printed (in the C locale) when it could not talk to a remote. */
export function remoteError({ url, directory, stderr }: RemoteFailure): GitError {
  const said = lastLines(stderr);
  const options = { cause: new Error(said) };
  if (/REMOTE HOST IDENTIFICATION HAS CHANGED/.test(stderr))
    return new HostKeyUnknown(
      `The ssh host key of ${url} is not the one in known_hosts. If the server's key was replaced on purpose, put the new line from ssh-keyscan there; otherwise someone may be in between.`,
      options,
    );
  if (/Host key verification failed|No \S+ host key is known/.test(stderr))
    return new HostKeyUnknown(
      `The ssh host key of ${url} is unknown. Compare the output of ssh-keyscan with what the host publishes and add it to known_hosts (in the source's Secret, or your own file on a laptop).`,
      options,
    );
  if (/dubious ownership/.test(stderr))
    return new RepositoryUnreachable(
      `The repository ${url} belongs to another user, and git refuses to read it. If you trust it, run: git config --global --add safe.directory '${ownedPath(stderr) ?? url}'`,
      options,
    );
  if (/Load key .*(invalid format|error in libcrypto|incorrect passphrase)/.test(stderr))
    return new AuthenticationFailed(
      `The ssh key for ${url} cannot be used: ${said}. Put an unencrypted private key with its line breaks into the Secret's key identity.`,
      options,
    );
  if (
    /Authentication failed|could not read (Username|Password)|terminal prompts disabled|Permission denied \(|Too many authentication failures|returned error: 40[13]/.test(
      stderr,
    )
  )
    return new AuthenticationFailed(
      `${url} refused the credentials: ${said}. Check the source's secretRef (username and password for https, identity for ssh; on a laptop your credential helper or ssh agent) and that this account may read the repository.`,
      options,
    );
  if (/SSL certificate problem|server certificate verification failed/.test(stderr))
    return new RepositoryUnreachable(
      `The certificate of ${url} is not trusted: ${said}. Put the authority's certificate into the Secret's key ca.crt.`,
      options,
    );
  if (/No space left on device|Disk quota exceeded/.test(stderr))
    return new GitError(`The disk with ${directory} is full: ${said}. Make room; the next fetch goes on.`, options);
  if (/corrupt|bad object|object file \S+ is empty|did not send all necessary objects|bad signature/.test(stderr))
    return new GitError(
      `The repository ${url} or its mirror ${directory} is damaged: ${said}. Delete the mirror, which is fetched anew; if it happens again, run git fsck in the repository.`,
      options,
    );
  return new RepositoryUnreachable(
    `Cannot read ${url}: ${said || 'git ended without a message'}. Check the URL, that the repository exists and that this machine can reach it.`,
    options,
  );
}

/** The path in git's own suggestion, which is the one it compares (quoting removed). */
function ownedPath(stderr: string): string | undefined {
  return /safe\.directory '?([^'\n]+)'?/.exec(stderr)?.[1];
}

const boilerplate =
  /^(hint:|@+$|fatal: Could not read from remote repository|Please make sure you have|and the repository exists)/;

/** The last few lines of what git said, in one line, without control characters. */
export function lastLines(stderr: string): string {
  return stderr
    .split(/[\r\n]+/)
    .map((line) => line.replace(/\p{Cc}/gu, '').trim())
    .filter((line) => line !== '' && !boilerplate.test(line))
    .slice(-3)
    .join('; ')
    .slice(-600)
    .replace(/[.;\s]+$/, '');
}
