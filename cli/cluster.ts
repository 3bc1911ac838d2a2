import { ApiProblem, type Client, createClient } from '../api/client.ts';
import {
  createPromotion,
  createRun,
  decidePromotion,
  decideStep,
  replayRun,
  requestReconcile,
  retryRun,
  setDesired,
} from '../api/intents.ts';
import { problemTypes, problemUri } from '../api/problem.ts';
import { type ClusterLogin, openClusterLogin } from '../controller/cluster-client.ts';
import { type Draft, ObjectConflict, ObjectRefused } from '../controller/seams/objects.ts';
import type { Kind } from '../crds/kinds.ts';
import type { ClusterOptions } from './connection.ts';
import { CliError, exitCodes, usageError } from './exit.ts';
import type { Io } from './io.ts';

/** Where the chart's documentation installs the controller. */
const defaultNamespace = 'windlass';

/**
 * A client in a cluster: objects are read and written by the kubeconfig's login straight at the API server, and history
 * and logs are asked of the controller over a port-forward, which is opened when the first of them is wanted.
 */
export function connectCluster(io: Io, options: ClusterOptions): Client {
  const login = openClusterLogin({
    kubeconfig: options.kubeconfig,
    context: options.context,
    controllerNamespace: options.controllerNamespace ?? io.env['WINDLASS_NAMESPACE'] ?? defaultNamespace,
    env: io.env,
    clock: io.clock,
  });
  return clusterClient(login, options.project, () => new Date(io.clock.now()).toISOString());
}

/** The client of a login. `project`: where sources, environments and promotions are; by default the only one there is. */
export function clusterClient(login: ClusterLogin, project: string | undefined, now: () => string): Client {
  const { objects } = login;
  const history = createClient({
    server: 'http://controller.windlass',
    token: null,
    fetch: (request) => asked(login.fetch(request)).catch(refusal),
    project,
  });

  async function inProject(name: string): Promise<{ namespace: string; name: string }> {
    const namespace = project ?? (await history.server()).project;
    if (namespace === null) throw usageError('there may be several projects there; say which with --project');
    return { namespace, name };
  }

  const decide =
    (verdict: 'Approve' | 'Reject'): Client['approvePromotion'] =>
    async (name, decision) => {
      const [key, who] = [await inProject(name), await asked(login.whoAmI())];
      return asked(decidePromotion(objects, key, who, verdict, decision ?? {}, [], now()));
    };
  const decideStepOf =
    (verdict: 'Approve' | 'Reject'): Client['approveStep'] =>
    async (key, step, decision) => {
      const who = await asked(login.whoAmI());
      return asked(decideStep(objects, { ...key, step }, who, verdict, decision ?? {}, [], now())).catch(
        // A child run has no object: what is wanted of it goes through the controller.
        unlessAbsent(() => history[verdict === 'Approve' ? 'approveStep' : 'rejectStep'](key, step, decision)),
      );
    };
  const desire =
    (desired: 'Cancelled' | 'Paused' | 'Running'): Client['cancelRun'] =>
    (key, body) =>
      asked(setDesired(objects, key, desired, body ?? {})).catch(
        unlessAbsent(() => history[verbs[desired]](key, body)),
      );

  return {
    ...history,
    createRun: (namespace, body) => asked(createRun(objects, namespace, body)),
    cancelRun: desire('Cancelled'),
    pauseRun: desire('Paused'),
    resumeRun: desire('Running'),
    async retryRun(key, body) {
      // Refused where it cannot be, as the API does.
      await history.planRetry(key, body);
      return asked(retryRun(objects, key, body ?? {}));
    },
    async replayRun(key, body = {}) {
      const { name: _, ...planned } = body;
      await history.planReplay(key, planned);
      return asked(replayRun(objects, await history.run(key), body));
    },
    approveStep: decideStepOf('Approve'),
    rejectStep: decideStepOf('Reject'),
    async promote(body) {
      const { namespace } = await inProject('');
      return asked(createPromotion(objects, namespace, body));
    },
    approvePromotion: decide('Approve'),
    rejectPromotion: decide('Reject'),
    reconcileSource: (key) => asked(requestReconcile(objects, key, now())),
    async list(kind, namespace) {
      return { items: await asked(objects.list(kind, { namespace })), next: null };
    },
    async get(kind, { namespace, name }) {
      const object = await asked(objects.get(kind, namespace, name));
      if (object === null) throw absent(kind, namespace, name);
      return object;
    },
    async apply<K extends Kind>({ kind, metadata, spec }: Parameters<Client['apply']>[0] & { kind: K }) {
      const draft = { kind, metadata, spec } as Draft<K>;
      return (await asked(objects.apply(draft))).object;
    },
    async delete(kind, { namespace, name }) {
      if (!(await asked(objects.delete(kind, namespace, name)))) throw absent(kind, namespace, name);
    },
    defaultNamespace: login.namespace,
  };
}

const verbs = { Cancelled: 'cancelRun', Paused: 'pauseRun', Running: 'resumeRun' } as const;

/** For `catch`: does something else when there is no such object; any other error goes on. */
function unlessAbsent<T>(instead: () => Promise<T>): (error: unknown) => Promise<T> {
  return async (error) => {
    if (error instanceof ObjectConflict && error.reason === 'NotFound') return await instead();
    throw error;
  };
}

/** Said as the controller says it, so that commands need not know whom they have asked. */
function absent(kind: Kind, namespace: string, name: string): ApiProblem {
  const detail = `There is no ${kind} ${name} in namespace ${namespace}.`;
  const { status, title } = problemTypes['not-found'];
  return new ApiProblem({ type: problemUri('not-found'), title, status, detail, instance: '' });
}

/** A missing right as a refusal of the controller: a stream that waits for a server to come back does not wait for that. */
function refusal(error: unknown): never {
  if (!(error instanceof ObjectRefused)) throw error;
  const { status, title } = problemTypes.forbidden;
  throw new ApiProblem({ type: problemUri('forbidden'), title, status, detail: error.message, instance: '' });
}

/** What somebody has to lift or try again is said with its own exit code; the rest of the errors know theirs. */
async function asked<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    // The API server did not answer, or a server's fault: its message says which request it was.
    const away = error.name === 'Error' || error.name === 'NoController';
    const status = error.name === 'KubernetesError';
    if (away || status) {
      throw new CliError(error.message, away ? exitCodes.unreachable : exitCodes.refused, { cause: error });
    }
    throw error;
  }
}
