import { KubeConfig } from '@kubernetes/client-node';
import { readConfig } from '../controller/config.ts';
import { startCluster } from '../controller/start-cluster.ts';
import { readArtifactOptions } from './artifact-options.ts';
import type { S3Credentials } from '../controller/artifacts/credentials.ts';
import type { ControllerCommandOptions } from './commands/controller.ts';
import { CliError, exitCodes, usageError } from './exit.ts';
import type { Cli } from './io.ts';
import { createLog } from './log.ts';
import { version } from './version.ts';

/** How long SIGTERM waits for what runs in the controller itself; Pods go on in any case. Below Kubernetes' own 30 s. */
const graceMs = 20_000;

/** Runs a controller of a cluster until it is told to stop. */
export async function serveCluster(cli: Cli, options: ControllerCommandOptions): Promise<void> {
  const { io } = cli;
  const { config, problems } = readConfig(io.env);
  if (config.databaseUrl === null && problems.length === 0) {
    problems.push(
      'DATABASE_URL must say which Postgres keeps the history, such as postgres://user:password@host/database',
    );
  }
  if (problems.length > 0) throw usageError(problems.join('; '));
  const stopped = new AbortController();
  const release = io.onInterrupt(() => stopped.abort());
  try {
    const log = createLog(io.stderr, options.logLevel ?? config.logLevel ?? 'info');
    const controller = await startCluster(
      {
        kubeConfig: readKubeConfig(io.env),
        databaseUrl: config.databaseUrl ?? '',
        dataDir: options.data,
        namespaces: options.namespaces ?? null,
        allowPrivilegedSteps: new Set(options.allowPrivilegedSteps),
        allowPrivateHttp: new Set(options.allowPrivateHttp),
        artifacts: readArtifacts(options, config.s3Credentials, io.cwd),
        stepImage: options.stepImage ?? null,
        pod: config.pod,
        retention: { ttlMs: options.runTtl, perWorkflow: options.runHistory },
        listen: { host: options.host, port: options.port },
        ...(options.maxStepsPerNamespace === undefined ? {} : { maxStepsPerNamespace: options.maxStepsPerNamespace }),
        env: io.env,
        clock: io.clock,
        log,
        version,
      },
      stopped.signal,
    ).catch((cause: unknown) => {
      throw new CliError((cause as Error).message, exitCodes.failed, { cause });
    });
    if (controller) {
      log.info({ url: controller.url, version }, 'the controller serves');
      await aborted(stopped.signal);
      log.info('stopping: nothing new begins; what runs is left to the next controller');
      await controller.stop(graceMs);
    }
    cli.exitCode = exitCodes.ok;
  } finally {
    release();
  }
}

/** Pods must be able to reach what they are told of. */
function readArtifacts(options: ControllerCommandOptions, credentials: S3Credentials | null, cwd: string) {
  const settings = readArtifactOptions(options, credentials, cwd, null);
  if (settings === null) return null;
  const { artifactUrl: url, artifactImage: image } = options;
  if (url === undefined || image === undefined)
    throw usageError('--artifacts needs --artifact-url and --artifact-image');
  return { ...settings, url, image };
}

/** As a Pod finds it, unless $KUBECONFIG says otherwise. */
function readKubeConfig(env: Cli['io']['env']): KubeConfig {
  const config = new KubeConfig();
  const file = env['KUBECONFIG'];
  try {
    if (file) config.loadFromFile(file);
    else if (env['KUBERNETES_SERVICE_HOST']) config.loadFromCluster();
    else throw new Error('this is no Pod of a cluster, and KUBECONFIG is not set');
  } catch (cause) {
    throw usageError(`The Kubernetes API cannot be found: ${(cause as Error).message}.`);
  }
  return config;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
