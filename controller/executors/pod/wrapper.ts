import { scriptOutputBytes } from '../outputs.ts';

/** Where a step finds things in its container. One emptyDir holds all that is written. */
export const paths = {
  root: '/windlass',
  work: '/windlass/work',
  output: '/windlass/output',
  files: '/windlass/files',
  /** There when the work directory holds what the step needs already: its files, and artifacts of others. */
  prepared: '/windlass/prepared',
} as const;

/** Longest termination message that the kubelet takes. */
export const messageBytes = 4096;
/** Two pipes of 64 KiB and the buffers of those who copy between them, twice over; base64 makes a third more of it. */
const paddingBytes = 300_000;
/** Exit code of the wrapper itself when the work directory could not be prepared. */
export const notPrepared = 120;

/** What begins and ends the outputs within the log: nothing that a script prints by chance. */
export function frameMarks(hash: string): { begin: string; end: string } {
  return { begin: `\u0001windlass-output ${hash}\n`, end: `\u0001windlass-end ${hash}\n` };
}

/**
 * Runs in the step's container, in the image's own `sh`, around the script. Arguments: the command.
 * - As PID 1 it hands signals on to everything in the container, and ends what the script left behind before the outputs are
 *   written, so that nothing gets between their lines. Where it is not PID 1 (shareProcessNamespace), others must be spared.
 * - Outputs go into the termination message: `t` and plain text, `b` and base64, or `l`, size and SHA-256 of what the log
 *   holds between two marks; `e` and a reason when they cannot be handed over. Without outputs there is no message, and no
 *   program is started, as each fork costs the step time.
 * - What the container runtime has not read when the container ends may be lost (containerd 1.6 drops what is in its pipes).
 *   So more than all pipes on the way hold follows the outputs: once that is written, they have arrived.
 * - Standard error joins standard output, as two pipes would be told apart but lose their order.
 */
export const wrapper = `
exec 2>&1
umask 022
mkdir -p ${paths.work} && cd ${paths.work} || exit ${notPrepared}
if [ -d ${paths.files}/..data ] && [ ! -e ${paths.prepared} ]; then cp -R ${paths.files}/..data/. . || exit ${notPrepared}; fi
: >${paths.output} || exit ${notPrepared}
windlass_child=
windlass_stop() {
  if [ $$ = 1 ]; then kill -TERM -1; else kill -TERM "$windlass_child"; fi 2>/dev/null
  [ -n "$windlass_child" ] || exit 143
}
trap windlass_stop TERM INT HUP QUIT
"$@" </dev/null &
windlass_child=$!
while :; do
  wait "$windlass_child"
  code=$?
  kill -0 "$windlass_child" 2>/dev/null || break
done
[ $$ != 1 ] || kill -KILL -1 2>/dev/null
[ $code = 0 ] || exit $code
out=${paths.output} end=/dev/termination-log
[ -s "$out" ] || exit 0
say() { printf '%s' "$1" >"$end"; exit 0; }
size=$(wc -c <"$out") && size=$((size))
[ $size -le ${scriptOutputBytes} ] || say 'e too large'
if [ $size -lt ${messageBytes} ] && [ "$(LC_ALL=C tr -d '\\11\\12\\40-\\176' <"$out" | wc -c)" -eq 0 ]; then
  { printf t; cat "$out"; } >"$end"
  exit 0
fi
command -v base64 >/dev/null || say 'e base64'
if [ $size -le 3000 ]; then
  { printf b; base64 <"$out"; } >"$end"
  exit 0
fi
command -v sha256sum >/dev/null || say 'e sha256sum'
sum=$(sha256sum <"$out")
printf '\\001windlass-output %s\\n' "$WINDLASS_ATTEMPT"
base64 -w 3000 <"$out" 2>/dev/null || base64 <"$out"
printf '\\001windlass-end %s\\n' "$WINDLASS_ATTEMPT"
{ head -c ${paddingBytes} /dev/zero | base64 -w 3000; } 2>/dev/null
say "l $size \${sum%% *}"
`;
