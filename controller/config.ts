import type { S3Credentials } from './artifacts/credentials.ts';
import type { OwnPod } from './own-pod.ts';

/** What is read from the process environment; nothing else of it is used, except by git and ssh on a laptop. */
export interface Config {
  /** Postgres to keep history in; null: the embedded one in the data directory. */
  databaseUrl: string | null;
  /** For a bucket that keeps artifacts; null: not set. */
  s3Credentials: S3Credentials | null;
  /** Null: not set. */
  logLevel: LogLevel | null;
  /** The Pod that it runs in; null: none that was named. */
  pod: OwnPod | null;
}

export const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/**
 * Reads DATABASE_URL, WINDLASS_LOG_LEVEL, AWS_* and WINDLASS_POD_{NAMESPACE,NAME,UID}. Problems are sentences for the user; empty
 * when all is well.
 */
export function readConfig(env: Readonly<Record<string, string | undefined>>): { config: Config; problems: string[] } {
  const problems: string[] = [];
  const databaseUrl = env['DATABASE_URL'] || null;
  if (databaseUrl !== null && !(/^postgres(ql)?:\/\//.test(databaseUrl) && URL.canParse(databaseUrl))) {
    problems.push('DATABASE_URL must be a URL that begins with postgres:// or postgresql://');
  }
  const level = env['WINDLASS_LOG_LEVEL'] || null;
  const logLevel = logLevels.find((l) => l === level) ?? null;
  if (level !== null && logLevel === null) problems.push(`WINDLASS_LOG_LEVEL must be one of ${logLevels.join(', ')}`);
  const accessKeyId = env['AWS_ACCESS_KEY_ID'] || null;
  const secretAccessKey = env['AWS_SECRET_ACCESS_KEY'] || null;
  const sessionToken = env['AWS_SESSION_TOKEN'] || null;
  const s3Credentials =
    accessKeyId === null || secretAccessKey === null ? null : { accessKeyId, secretAccessKey, sessionToken };
  const [namespace, name, uid] = [env['WINDLASS_POD_NAMESPACE'], env['WINDLASS_POD_NAME'], env['WINDLASS_POD_UID']];
  const pod = namespace && name && uid ? { namespace, name, uid } : null;
  return { config: { databaseUrl, s3Credentials, logLevel, pod }, problems };
}
