import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import type { AttemptResult, ResolvedBody } from '../../core/run/types.ts';
import type { AttemptFolder } from './attempt-folder.ts';

type ContainerBody = Extract<ResolvedBody, { kind: 'container' }>;

/** In the order of preference: the one that needs no daemon first. */
const engines = ['podman', 'docker'] as const;
/** What an engine's own program needs of the controller's environment: where its images and its daemon are. */
const engineVariables =
  /^(HOME|USER|XDG_\w+|DOCKER_\w+|CONTAINER_\w+|CONTAINERS_\w+|REGISTRY_AUTH_FILE|\w+_PROXY|\w+_proxy)$/;
/** The engine's own exit code when it could not run the container at all. */
const engineFailed = 125;
/** Where a container finds what every step has. */
const inside = { files: '/windlass/files', output: '/windlass/output' } as const;
const removalMs = 20_000;

/** The path of the container engine's program; null when there is none on the PATH. */
export async function findEngine(path: string): Promise<string | null> {
  for (const name of engines) {
    for (const directory of path.split(delimiter)) {
      const program = join(directory, name);
      const found = await access(program, constants.X_OK).then(
        () => true,
        () => false,
      );
      if (found) return program;
    }
  }
  return null;
}

export const noEngine =
  'container steps need podman or docker, and neither is on the PATH; install one, write the step as `run`, or run it in a cluster';

export function containerName(hash: string): string {
  return `windlass-${hash}`;
}

/** Of the controller's environment, what the engine's program gets. */
export function engineEnvironment(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const kept = Object.entries(env).filter(([name, value]) => engineVariables.test(name) && value !== undefined);
  return Object.fromEntries(kept) as Record<string, string>;
}

/**
 * The command that runs a step's image as it is, in the foreground. Secrets go by the environment of the engine's program,
 * as others on the machine can read its arguments.
 * @param env of the step, WINDLASS_* included
 */
export function containerCommand(
  engine: string,
  body: ContainerBody,
  { hash, folder, files, env }: { hash: string; folder: AttemptFolder; files: string; env: Record<string, string> },
): string[] {
  const [entrypoint, ...command] = body.command ?? [];
  const values = { ...env, WINDLASS_FILES: inside.files, WINDLASS_OUTPUT: inside.output };
  const variables = Object.entries(values).flatMap(([name, value]) =>
    Object.hasOwn(body.secrets, name) ? ['--env', name] : ['--env', `${name}=${value}`],
  );
  return [
    engine,
    'run',
    '--rm',
    '--init',
    `--name=${containerName(hash)}`,
    `--volume=${files}:${inside.files}:ro`,
    `--volume=${folder.output}:${inside.output}`,
    ...(body.workingDir === null ? [] : ['--workdir', body.workingDir]),
    ...(entrypoint === undefined ? [] : ['--entrypoint', entrypoint]),
    ...variables,
    body.image,
    ...command,
    ...(body.args ?? []),
  ];
}

/** Ends a container that its engine's program may have left behind. Resolves when it is gone, or the engine does not answer. */
export async function removeContainer(engine: string, hash: string, env: Record<string, string>): Promise<void> {
  await new Promise<void>((resolve) => {
    execFile(engine, ['rm', '--force', containerName(hash)], { env, timeout: removalMs }, () => resolve());
  });
}

/** What docker ends with when it could not run a container: it says nothing of why. */
export const engineHelp = /^(Run|See) 'docker run --help'/;
/** Lines of an engine itself, not of what it runs. */
const engineLine = /^(Error: |docker: |time="\S+ level=)/;
/** Of the small init that an engine puts before the command. */
const initLine = /^(ERROR \(catatonit|\[FATAL tini)/;
/** How an engine says, of an image that it has, that the command cannot be begun in it. */
const runtimeLine = /OCI|runc|crun|container_linux|unable to start container|workdir/;
const aboutImage =
  /initializing source|pinging (container )?registry|reading manifest|manifest (unknown|for|invalid)|no such image|image not known|name unknown|unable to find image|pull access denied|access to the resource is denied|unauthorized|(error|failed to|unable to) pull|invalid reference format|toomanyrequests|short-name/i;
const aboutMachine = /permission denied|operation not permitted|no such file|statfs|mount|not found/i;

/**
 * What a failed container means. By its codes 125 to 127 and its last line an engine says that it could not run the step's
 * command: then the image cannot be had, or what it needs is not there, or the engine is in trouble. All else is the step's own.
 */
export function containerResult(result: AttemptResult): AttemptResult {
  if (result.outcome !== 'Failed') return result;
  const { exitCode, message } = result.error;
  const said = message.replace(/^exit code \d+( \(\w+\))?: /, '');
  const failed = (type: string, retryable: boolean): AttemptResult => ({
    outcome: 'Failed',
    error: { type, message, retryable },
  });
  if (initLine.test(said)) return failed('environment', false);
  if (!engineLine.test(said)) return result;
  if (exitCode === 126 || exitCode === 127) return runtimeLine.test(said) ? failed('environment', false) : result;
  if (exitCode !== engineFailed) return result;
  if (aboutImage.test(said)) return failed('imagePull', true);
  return aboutMachine.test(said) ? failed('environment', false) : failed('infrastructure/engine', true);
}
