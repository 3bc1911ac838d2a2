import { isDeepStrictEqual } from 'node:util';
import type { Governance } from '../seams/governance.ts';
import { approvalsBinding, approvalsPolicy, approvalsPolicyName } from './approvals-policy.ts';
import type { KubernetesClient } from './client.ts';
import { isRefusal, KubernetesError } from './errors.ts';
import type { Namespaces } from './namespaces.ts';

export interface KubernetesGovernanceOptions {
  client: KubernetesClient;
  namespaces: Pick<Namespaces, 'get' | 'watch'>;
  /** Name under which this controller writes the spec of Workflows. */
  fieldManager: string;
}

interface Found {
  metadata: {
    uid: string;
    generation: number;
    creationTimestamp: string;
    labels?: Record<string, string>;
    deletionTimestamp?: string;
    managedFields?: { manager?: string; subresource?: string; fieldsV1?: Record<string, unknown> }[];
  };
  spec?: unknown;
  data?: Record<string, string>;
}

/** The label by which a namespace agrees to belong to a project. */
const projectLabel = 'windlass.dev/project';
const admission = '/apis/admissionregistration.k8s.io/v1';

/** What a cluster says: consent by the Namespace's label, approvals by an admission policy, people by a ConfigMap. */
export function createKubernetesGovernance(options: KubernetesGovernanceOptions): Governance {
  const { client, namespaces, fieldManager } = options;

  async function find(path: string): Promise<Found | null> {
    try {
      return await client.request<Found>('GET', path);
    } catch (error) {
      if (isRefusal(error, 404)) return null;
      throw error;
    }
  }

  return {
    async admits(project, namespace) {
      const found = await namespaces.get(namespace).catch(forbidden);
      if (found instanceof KubernetesError) {
        const message = `The controller may not read namespace ${namespace}: ${found.status.message}`;
        return { ok: false, reason: 'NamespaceForbidden', message };
      }
      const label = `kubectl label namespace ${namespace} --overwrite ${projectLabel}=${project}`;
      if (!found) {
        const message = `There is no namespace ${namespace}. Make it, and let it agree: ${label}`;
        return { ok: false, reason: 'NamespaceNotFound', message };
      }
      if (found.metadata.deletionTimestamp !== undefined) {
        const message = `Namespace ${namespace} is being deleted; nothing is promoted into it. Make it again, or name another in spec.namespace.`;
        return { ok: false, reason: 'NamespaceTerminating', message };
      }
      const agreed = found.metadata.labels?.[projectLabel];
      if (agreed === project) return { ok: true };
      const says = agreed === undefined ? 'does not say whose it is' : `agrees to project ${agreed} only`;
      const message = `Namespace ${namespace} ${says}. If project ${project} may have it: ${label}`;
      return { ok: false, reason: 'NamespaceNotAdmitted', message };
    },
    watchNamespaces: (handler) => namespaces.watch(handler),
    async approvalsPolicy() {
      try {
        const [policy, binding] = await Promise.all([
          find(`${admission}/validatingadmissionpolicies/${approvalsPolicyName}`),
          find(`${admission}/validatingadmissionpolicybindings/${approvalsPolicyName}`),
        ]);
        const wrong =
          compare('ValidatingAdmissionPolicy', policy, approvalsPolicy.spec) ??
          compare('ValidatingAdmissionPolicyBinding', binding, approvalsBinding.spec);
        if (wrong !== null || !policy || !binding) {
          const message = `No approval can be believed: ${wrong} Install that of this version, in place of what is there.`;
          return { state: 'NotInForce', message };
        }
        const both = [policy.metadata, binding.metadata];
        return {
          state: 'InForce',
          identity: both.map(({ uid, generation }) => `${uid}/${generation}`).join(' '),
          // What was changed since says nowhere when that was.
          since: both.every(({ generation }) => generation === 1)
            ? Math.max(...both.map(({ creationTimestamp }) => Date.parse(creationTimestamp)))
            : null,
        };
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        const message = `No approval can be believed: whether ValidatingAdmissionPolicy ${approvalsPolicyName} is in force cannot be found out (${why}).`;
        return { state: 'Unknown', message };
      }
    },
    async identityTable(project, name) {
      const found = await find(`/api/v1/namespaces/${encodeURIComponent(project)}/configmaps/${name}`).catch(forbidden);
      if (found instanceof KubernetesError)
        return { ok: false, message: `it may not be read: ${found.status.message}` };
      return { ok: true, texts: found?.data ?? {} };
    },
    async editorsOf(namespace, workflow) {
      const path = `namespaces/${encodeURIComponent(namespace)}/workflows/${encodeURIComponent(workflow)}`;
      const found = await find(`/apis/windlass.dev/v1alpha1/${path}`);
      const managers = (found?.metadata.managedFields ?? [])
        .filter(({ subresource, fieldsV1 }) => !subresource && fieldsV1?.['f:spec'] !== undefined)
        .flatMap(({ manager }) => (manager === undefined || manager === fieldManager ? [] : [manager]));
      return [...new Set(managers)];
    },
  };
}

/** A refusal that only an administrator can lift, as a value. */
function forbidden(error: unknown): KubernetesError {
  if (isRefusal(error, 403)) return error;
  throw error;
}

function compare(kind: string, found: Found | null, shipped: object): string | null {
  if (!found) return `there is no ${kind} ${approvalsPolicyName}.`;
  if (found.metadata.deletionTimestamp !== undefined) return `${kind} ${approvalsPolicyName} is being deleted.`;
  if (isDeepStrictEqual(withoutDefaults(found.spec), withoutDefaults(shipped))) return null;
  return `${kind} ${approvalsPolicyName} is not the one that was shipped.`;
}

/** What an API server fills in when nothing is said. */
const defaults: Record<string, unknown> = {
  failurePolicy: 'Fail',
  matchPolicy: 'Equivalent',
  scope: '*',
};

/** Without what says nothing: defaults, and selectors that select everything. */
function withoutDefaults(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutDefaults);
  if (typeof value !== 'object' || value === null) return value;
  const kept = Object.entries(value)
    .filter(([key, member]) => defaults[key] !== member)
    .map(([key, member]) => [key, withoutDefaults(member)] as const)
    .filter(([, member]) => !isEmpty(member));
  return Object.fromEntries(kept);
}

function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}
