import type { SpawnEnd, Spawner } from './spawner.ts';

/** The launcher's exit code when another launcher has begun this attempt, or nobody may begin it any more. */
const lostTheRace = 121;

/**
 * Runs in the attempt's work directory, outlives the controller, and leaves everything it knows in the folder above.
 * Arguments: most of log in blocks of 512 bytes, then the command. Shell builtins wherever there is one, as every fork costs the step time.
 * - `mkdir` is what makes an attempt begin at most once; whoever declares it lost must win it too.
 * - `pid` is written with noclobber: whoever gave this attempt up wrote it first, and the launcher ends.
 * - Where there is no builtin: exec instead of fork, and LC_ALL=C, as loading a locale is half of what mkdir, mv and tee do.
 *   mv has let go of the log before it starts, so that tee ends beside it.
 * - The signal that stops it may come before there is a command to take it; then `stopped`, which comes before the signal, is
 *   there. Whoever looks for it takes signals as the command would.
 * - exit.json appears when the command has ended, even if something it left behind still holds the log.
 * - The log passes through `tee` under a file size limit, which bounds it even while no controller is alive: where a write
 *   fails, on the limit or a full disk, tee goes on reading (POSIX), and so the step runs on. It ignores TERM, so that
 *   nothing a stopped step still prints is lost.
 */
const script = `
path=$PATH PATH=/usr/bin:/bin:$PATH
limit=$1
shift
LC_ALL=C mkdir ../started 2>/dev/null || exit ${lostTheRace}
field() { shift 19; start=$1; }
if { read -r stat </proc/$$/stat; } 2>/dev/null; then field \${stat##*) }; else start=$(LC_ALL=C TZ=UTC ps -o lstart= -p $$); fi
set -C
printf '%s %s\\n' $$ "$start" 2>/dev/null >../pid || exit ${lostTheRace}
set +C
trap : TERM INT HUP
: >../output
{
  trap : TERM INT HUP
  ([ -e ../stopped ] && exit 143; PATH=$path; unset path limit start stat; exec "$@")
  printf '{"exitCode":%d}\\n' $? >../exit.tmp || exit
  trap '' TERM INT HUP
  export LC_ALL=C
  exec mv ../exit.tmp ../exit.json >/dev/null 2>&1
} 2>&1 | {
  trap '' TERM INT HUP XFSZ
  ulimit -f "$limit"
  export LC_ALL=C
  exec tee -a ../log >/dev/null
}
exit 0
`;

/** `notBegun`: another launcher was first, or nobody may begin any more. `unseen`: the folder has to be asked. */
export type LaunchEnd = 'gone' | 'notBegun' | 'unseen';

/**
 * Starts a launcher in a session of its own, so that neither Ctrl-C nor the end of the controller reaches it.
 * Resolves once it was created. @throws as Spawner does.
 */
export async function launch(
  spawner: Spawner,
  options: { workDirectory: string; env: Record<string, string>; command: string[]; logBytes: number },
): Promise<{ pid: number; end: Promise<LaunchEnd> }> {
  const blocks = String(Math.floor(options.logBytes / 512));
  const { pid, end } = await spawner.spawn({
    file: '/bin/sh',
    args: ['-c', script, 'windlass', blocks, ...options.command],
    cwd: options.workDirectory,
    env: options.env,
  });
  return { pid, end: end.then(launchEnd) };
}

function launchEnd(end: SpawnEnd): LaunchEnd {
  if (end === 'unseen') return end;
  return end.code === lostTheRace ? 'notBegun' : 'gone';
}

/** What a person must change before this can be started, or null when it was the world that failed. */
export function refusalOf(error: unknown): string | null {
  switch ((error as NodeJS.ErrnoException).code) {
    case 'E2BIG':
      return 'script, env and secrets are too large: no one of them may exceed 128 KiB; pass large data in files';
    case 'ERR_INVALID_ARG_VALUE':
      return 'script, env and secrets must not contain NUL characters';
    default:
      return null;
  }
}
