import type { Context } from 'hono';
import { type Kind, kinds } from '../crds/kinds.ts';
import type { ObjectStore } from '../controller/seams/objects.ts';
import { RequestProblem } from './errors.ts';

/** What may be asked for: the verbs of Kubernetes, and `approve` on an Environment. */
export type AccessVerb = 'get' | 'list' | 'create' | 'update' | 'delete' | 'approve';

/** Who calls. The group `*` stands for every group: on a laptop there is one person. */
export interface Caller {
  user: string;
  groups: string[];
  /** Writes objects with the caller's own rights. */
  objects: ObjectStore;
  /**
   * Whether the caller may do this; `namespace` null asks about all of them. History is asked about as the kind whose
   * history it is: runs, steps and logs as WorkflowRun, versions as Workflow.
   */
  may(verb: AccessVerb, kind: Kind, namespace: string | null, name?: string): Promise<boolean>;
}

/** Says who calls and what they may do; one implementation a home. */
export interface Access {
  /** Values of the Host header that are answered; an entry without a port stands for every port. Null: any. */
  readonly allowedHosts: string[] | null;
  /** The caller whose bearer token this is; null when it is nobody's. @throws AccessUnknown when it cannot be found out now */
  authenticate(token: string): Promise<Caller | null>;
  /** What to tell somebody without a good token. */
  readonly hint: string;
}

/** Whoever knows who calls and what they may do cannot be asked at present. */
export class AccessUnknown extends Error {
  override name = 'AccessUnknown';
}

/** Who makes this request; there is one on every route that asks for a token. */
export function callerOf(c: Context): Caller {
  return c.get('caller') as Caller;
}

/** @throws RequestProblem 403 when the caller may not do this; it names the verb, the kind and the namespace */
export async function demand(
  c: Context,
  verb: AccessVerb,
  kind: Kind,
  namespace: string | null,
  name?: string,
): Promise<void> {
  const caller = callerOf(c);
  if (await caller.may(verb, kind, namespace, name)) return;
  const what = name === undefined ? kinds[kind].plural : `${kinds[kind].singular} ${name}`;
  const where = namespace === null ? 'in all namespaces' : `in namespace ${namespace}`;
  const instead =
    namespace === null && verb === 'list' ? ' Ask for one namespace (-n NAME; in the API ?namespace=NAME).' : '';
  throw new RequestProblem('forbidden', `${caller.user} may not ${verb} ${what} (${kind}) ${where}.${instead}`);
}

/**
 * The namespaces that a list is made of; null: all there are. Where none is asked for and the caller may not list in all, it is
 * those of `served` (what this controller is installed for; null: everything) that the caller may list in.
 * @returns undefined when there is none
 */
export async function listable(
  c: Context,
  served: readonly string[] | null,
  kind: Kind,
  asked: string | undefined,
): Promise<string[] | null | undefined> {
  const caller = callerOf(c);
  if (asked !== undefined) return (await caller.may('list', kind, asked)) ? [asked] : undefined;
  if (await caller.may('list', kind, null)) return null;
  const allowed = await Promise.all((served ?? []).map((namespace) => caller.may('list', kind, namespace)));
  const namespaces = (served ?? []).filter((_, i) => allowed[i]);
  return namespaces.length === 0 ? undefined : namespaces;
}

/** As `listable`, with what to tell the caller: `namespaces` where a list lacks some that are served. @throws RequestProblem 403 when there is none */
export async function demandList(
  c: Context,
  served: readonly string[] | null,
  kind: Kind,
  asked: string | undefined,
): Promise<{ within: string[] | null; said: { namespaces?: string[] } }> {
  const within = await listable(c, served, kind, asked);
  if (within === undefined) {
    await demand(c, 'list', kind, asked ?? null);
    return { within: [], said: {} };
  }
  const partial = asked === undefined && within !== null && within.length < (served ?? []).length;
  return { within, said: partial ? { namespaces: within } : {} };
}
