import { styleText } from 'node:util';
import { shortDigest as digestInShort, shortRef as refInShort } from '../../controller/core/short.ts';
import type { Io, Output } from '../io.ts';

/** An absent value in a table. */
export const none = '-';

/** A length of time for people: two units at most, such as 450ms, 3.2s, 1m20s, 2h5m, 3d4h. */
export function formatSpan(ms: number): string {
  const t = Math.max(0, ms);
  if (t < 1000) return `${Math.round(t)}ms`;
  if (t < 10_000) return `${(Math.floor(t / 100) / 10).toString()}s`;
  const s = Math.floor(t / 1000);
  if (s < 60) return `${s}s`;
  if (s < 3600) return pair(Math.floor(s / 60), 'm', s % 60, 's');
  if (s < 86_400) return pair(Math.floor(s / 3600), 'h', Math.floor((s % 3600) / 60), 'm');
  return pair(Math.floor(s / 86_400), 'd', Math.floor((s % 86_400) / 3600), 'h');
}

function pair(big: number, bigUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${big}${bigUnit}` : `${big}${bigUnit}${small}${smallUnit}`;
}

/** How long ago an RFC 3339 instant was, in whole seconds or larger units. */
export function formatAge(at: string | null, now: number): string {
  if (at === null) return none;
  const ms = Math.max(0, now - Date.parse(at));
  return ms < 60_000 ? `${Math.floor(ms / 1000)}s` : formatSpan(ms - (ms % (ms < 3_600_000 ? 1000 : 60_000)));
}

/** The first 12 digits of a commit; tags and other names as they are. */
export function shortRef(ref: string | null): string {
  return ref === null ? none : refInShort(ref);
}

/** Such as 12 B, 3.4 MB: powers of a thousand, as `ls -h --si` has them. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  for (; value >= 999.5 && unit < units.length - 1; unit++) value /= 1000;
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit] ?? ''}`;
}

/** `sha256:` and 12 digits. */
export function shortDigest(digest: string | null): string {
  return digest === null ? none : digestInShort(digest);
}

/** An error without the names of the child runs that it came through, which leave no room for it in one line. */
export function causeFirst(message: string): string {
  return message.replace(/\bthe run \S+ (failed|timed out|was cancelled): /g, '');
}

/** The first line, cut to `width`. */
export function oneLine(text: string, width = 100): string {
  const [line = ''] = text.trim().split('\n', 1);
  return line.length > width ? `${line.slice(0, width - 1)}…` : line;
}

/** Control characters of output from elsewhere must not steer the terminal; line ends and tabs stay. */
export function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- they are what is taken out
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '\ufffd');
}

export type Paint = (phase: string) => string;

const colours: Record<string, 'green' | 'red' | 'yellow' | 'cyan' | 'gray'> = {
  Succeeded: 'green',
  True: 'green',
  Failed: 'red',
  TimedOut: 'red',
  Rejected: 'red',
  False: 'red',
  Cancelled: 'yellow',
  Gating: 'yellow',
  Waiting: 'yellow',
  Retrying: 'yellow',
  Running: 'cyan',
  Compensating: 'cyan',
  Finalizing: 'cyan',
  Cached: 'green',
  Degraded: 'yellow',
  Compensated: 'yellow',
  HalfOpen: 'yellow',
  Open: 'red',
  Redriven: 'cyan',
  Skipped: 'gray',
  Superseded: 'gray',
  Pending: 'gray',
  Queued: 'gray',
};

/** Colours the word of a phase, on a terminal that wants it. */
export function createPaint(io: Io, output: Output): Paint {
  if (!wantsColour(io, output)) return (phase) => phase;
  return (phase) => {
    const colour = colours[phase];
    return colour === undefined ? phase : styleText(colour, phase, { validateStream: false });
  };
}

/** https://no-color.org, and a terminal that can. */
export function wantsColour(io: Io, output: Output): boolean {
  return output.isTTY && !io.env['NO_COLOR'] && io.env['TERM'] !== 'dumb';
}
