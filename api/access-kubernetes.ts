import { createHash } from 'node:crypto';
import { kinds } from '../crds/kinds.ts';
import type { Clock } from '../controller/seams/clock.ts';
import type { ObjectStore } from '../controller/seams/objects.ts';
import { type Access, AccessUnknown, type Caller } from './access.ts';

/** A known token is believed for so long after it was taken back, and so are rights. */
const knownMs = 60_000;
const unknownMs = 10_000;
const rightMs = 10_000;
const maxTokens = 1000;
const maxRights = 10_000;

/** The API server, asked with the controller's own login; KubernetesClient is one. */
export interface Reviewer {
  request<T>(method: 'POST', path: string, options: { body: unknown }): Promise<T>;
}

export interface KubernetesAccessOptions {
  /** May create TokenReviews and SubjectAccessReviews. */
  reviewer: Reviewer;
  /** Objects as whoever has this token reads and writes them; holds nothing that must be let go of. */
  objectsFor(token: string): ObjectStore;
  clock: Clock;
}

interface UserInfo {
  username: string;
  uid?: string;
  groups?: string[];
  extra?: Record<string, string[]>;
}

/**
 * Kubernetes says who calls (TokenReview) and what they may do (SubjectAccessReview): its RBAC is the only permission
 * system. Tokens are kept as hashes, and everything is written with the caller's own.
 */
export function createKubernetesAccess({ reviewer, objectsFor, clock }: KubernetesAccessOptions): Access {
  const callers = createCache<Caller | null>(clock, maxTokens);
  const rights = createCache<boolean>(clock, maxRights);

  async function review<T>(path: string, kind: string, spec: object, what: string): Promise<T> {
    const [, , group, version] = path.split('/');
    try {
      const body = { apiVersion: `${group}/${version}`, kind, spec };
      return (await reviewer.request<{ status: T }>('POST', path, { body })).status;
    } catch (cause) {
      throw new AccessUnknown(`Kubernetes cannot be asked ${what} at present (${kind}); try again.`, { cause });
    }
  }

  async function identify(token: string): Promise<Caller | null> {
    const { authenticated, user } = await review<{ authenticated?: boolean; user?: UserInfo }>(
      '/apis/authentication.k8s.io/v1/tokenreviews',
      'TokenReview',
      { token },
      'who calls',
    );
    if (!authenticated || !user) return null;
    const may: Caller['may'] = async (verb, kind, namespace, name) => {
      // Most rights name no object, so that one answer does for all of them.
      if (name !== undefined && (await may(verb, kind, namespace))) return true;
      return isAllowed(user, {
        group: 'windlass.dev',
        resource: kinds[kind].plural,
        verb,
        ...(namespace === null ? {} : { namespace }),
        ...(name === undefined ? {} : { name }),
      });
    };
    return { user: user.username, groups: user.groups ?? [], objects: objectsFor(token), may };
  }

  function isAllowed({ username, ...rest }: UserInfo, resourceAttributes: object): Promise<boolean> {
    const spec = { user: username, ...rest, resourceAttributes };
    return rights.get(JSON.stringify(spec), async () => {
      const path = '/apis/authorization.k8s.io/v1/subjectaccessreviews';
      const what = `what ${username} may do`;
      const { allowed } = await review<{ allowed?: boolean }>(path, 'SubjectAccessReview', spec, what);
      return { value: allowed === true, forMs: rightMs };
    });
  }

  return {
    allowedHosts: null,
    hint: 'It is one that the API server takes, such as of `kubectl create token NAME`.',
    authenticate: (token) =>
      callers.get(createHash('sha256').update(token).digest('base64'), async () => {
        const caller = await identify(token);
        return { value: caller, forMs: caller === null ? unknownMs : knownMs };
      }),
  };
}

interface Cache<T> {
  /** What is known, else what `find` finds out; who asks at the same time waits for the same answer, and failures are not kept. */
  get(key: string, find: () => Promise<{ value: T; forMs: number }>): Promise<T>;
}

/** Answers that grow old; beyond `max` the oldest go. */
function createCache<T>(clock: Clock, max: number): Cache<T> {
  const entries = new Map<string, { answer: Promise<T>; until: number }>();
  return {
    get(key, find) {
      const known = entries.get(key);
      if (known && clock.monotonic() < known.until) return known.answer;
      const entry = { answer: answer(), until: Number.POSITIVE_INFINITY };
      async function answer(): Promise<T> {
        try {
          const { value, forMs } = await find();
          entry.until = clock.monotonic() + forMs;
          return value;
        } catch (error) {
          if (entries.get(key) === entry) entries.delete(key);
          throw error;
        }
      }
      entries.delete(key);
      entries.set(key, entry);
      const [oldest] = entries.keys();
      if (entries.size > max && oldest !== undefined) entries.delete(oldest);
      return entry.answer;
    },
  };
}
