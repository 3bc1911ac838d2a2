import pino, { type Logger } from 'pino';
import type { LogLevel } from '../controller/config.ts';
import type { Output } from './io.ts';

/** The controller's log on stderr: lines for a person on a terminal, JSON for a program. */
export function createLog(output: Output, level: LogLevel): Logger {
  const write = output.isTTY ? (line: string) => output.write(readable(line)) : (line: string) => output.write(line);
  return pino({ level, base: null, serializers: { err: errorFields } }, { write });
}

/** A failed query carries its parameters in its message: whole specs and outputs, which are nothing for a log. */
function errorFields(error: unknown): object {
  const fields = pino.stdSerializers.errWithCause(error as Error);
  return JSON.parse(JSON.stringify(fields), (_key, value: unknown) =>
    typeof value === 'string' ? value.replace(/\nparams: [^]*?(?=\n {4}at |$)/, '') : value,
  ) as object;
}

interface Entry {
  level: number;
  time: number;
  msg?: string;
  err?: { message?: string };
  [field: string]: unknown;
}

/** `12:00:05 warn  message key=value: why` */
function readable(line: string): string {
  const { level, time, msg = '', err, ...fields } = JSON.parse(line) as Entry;
  const rest = Object.entries(fields).map(
    ([key, value]) => ` ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  const why = err?.message === undefined ? '' : `: ${err.message}`;
  const label = (pino.levels.labels[level] ?? String(level)).padEnd(5);
  return `${new Date(time).toTimeString().slice(0, 8)} ${label} ${msg}${rest.join('')}${why}\n`;
}
