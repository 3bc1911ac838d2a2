import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Client, createClient } from '../api/client.ts';
import { addressFile, tokenFile } from '../controller/data-directory.ts';
import { CliError, exitCodes, isConnectionFailure, usageError } from './exit.ts';
import type { Io } from './io.ts';

/** The folder that `up` keeps its data in unless told otherwise, and that commands look for. */
export const dataFolder = '.windlass';

/** Which cluster, and what in it. */
export interface ClusterOptions {
  context?: string;
  kubeconfig?: string;
  controllerNamespace?: string;
  project?: string;
}

export interface ServerOptions extends ClusterOptions {
  server?: string;
}

/**
 * A client of the controller that is meant: `--server`; else the cluster of `--context` or `--kubeconfig`; else
 * $WINDLASS_SERVER; else the one whose `.windlass/` is nearest, from the working directory upward; else the cluster of
 * $KUBECONFIG. The token of a server is $WINDLASS_TOKEN, or the one that lies beside the address.
 * @throws CliError when there is none, or none answers
 */
export async function connect(io: Io, options: ServerOptions): Promise<Client> {
  const inCluster = options.context !== undefined || options.kubeconfig !== undefined;
  if (inCluster && options.server !== undefined) throw usageError('give --server, or --context and --kubeconfig');
  const named = options.server ?? (inCluster ? undefined : io.env['WINDLASS_SERVER']);
  const found = inCluster ? null : await findAddress(io.cwd);
  if (inCluster || (named === undefined && found === null && io.env['KUBECONFIG'])) {
    // Loaded only now, as it brings the Kubernetes client along.
    const { connectCluster } = await import('./cluster.ts');
    return connectCluster(io, options);
  }
  const server = named === undefined ? found?.url : readServer(named);
  if (server === undefined) {
    throw new CliError(
      `no controller was found: there is no running one in ${join(io.cwd, dataFolder)} or above. ` +
        'Start one with `windlass up`, or name one with --server URL, or a cluster with --context.',
      exitCodes.unreachable,
    );
  }
  // The token of the folder is for the controller of that folder, and for nobody else.
  const own = found !== null && new URL(found.url).origin === new URL(server).origin;
  const token = io.env['WINDLASS_TOKEN'] ?? (own ? found.token : null);
  const { project } = options;
  return createClient({ server, token, project, fetch: (request) => send(request, server, own ? found.folder : null) });
}

async function send(request: Request, server: string, folder: string | null): Promise<Response> {
  try {
    return await fetch(request);
  } catch (error) {
    if (!isConnectionFailure(error) || request.signal.aborted) throw error;
    const where = folder === null ? server : `${server}, the address in ${folder}`;
    const { code, message } = ((error as Error).cause ?? {}) as { code?: string; message?: string };
    throw new CliError(
      `no controller answers at ${where} (${code ?? message ?? 'no connection'}). Start it with \`windlass up\`.`,
      exitCodes.unreachable,
      { cause: error },
    );
  }
}

function readServer(text: string): string {
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text)) {
    throw usageError(`--server ${JSON.stringify(text)} is not a URL such as http://127.0.0.1:8080`);
  }
  return text;
}

/** The running controller of the nearest `.windlass/` upward; a folder whose controller was stopped has no address. */
async function findAddress(from: string): Promise<{ folder: string; url: string; token: string | null } | null> {
  for (let folder = from; ; folder = dirname(folder)) {
    const data = join(folder, dataFolder);
    const url = await readIfThere(join(data, addressFile));
    if (url !== null && URL.canParse(url))
      return { folder: data, url, token: await readIfThere(join(data, tokenFile)) };
    if (dirname(folder) === folder) return null;
  }
}

async function readIfThere(path: string): Promise<string | null> {
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw new CliError(`${path} cannot be read (${code}); is it another user's?`, exitCodes.unreachable, {
      cause: error,
    });
  }
}
