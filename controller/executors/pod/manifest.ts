import type { JsonObject, JsonValue } from '../../../crds/json.ts';
import { apiVersion } from '../../../crds/metadata.ts';
import type { PodSettings } from '../../core/plan/types.ts';
import type { ResolvedBody } from '../../core/run/types.ts';
import type { StartAction } from '../../seams/executor.ts';
import { stepVariables } from '../step-variables.ts';
import { attemptHash, labels, labelValue, plainOutputs, podName } from './names.ts';
import { stepContainer } from './pod.ts';
import { paths, wrapper } from './wrapper.ts';

type PodBody = Extract<ResolvedBody, { kind: 'run' | 'container' }>;

const terminationMessagePath = '/dev/termination-log';

/** The user and group of a restricted step: nobody's on the node, and in no image but distroless ones. */
const restrictedId = 65532;

export interface ManifestOptions {
  image: string;
  /** The ConfigMap that holds the version's files; null when it has none. */
  files: { configMap: string; items: { key: string; path: string }[] } | null;
}

/**
 * The Pod of an attempt. What the step says itself goes before its `podTemplate`, which goes before what is usual here;
 * what makes it an attempt (name, owner, command, end) is not for the template to say.
 */
export function podManifest(action: StartAction, body: PodBody, { image, files }: ManifestOptions): JsonObject {
  const { key, namespace, runName, workflow, owner } = action;
  const template = body.pod.podTemplate;
  const metadata = objectIn(template, 'metadata');
  const spec = objectIn(template, 'spec');
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: podName(runName, key),
      namespace,
      labels: {
        ...objectIn(metadata, 'labels'),
        [labels.managedBy]: 'windlass',
        [labels.attempt]: attemptHash(key),
        [labels.run]: labelValue(key.runId),
        [labels.step]: labelValue(key.step),
        [labels.workflow]: labelValue(workflow),
      },
      annotations: {
        ...objectIn(metadata, 'annotations'),
        'windlass.dev/run': runName,
        'windlass.dev/attempt-number': String(key.attempt),
        'windlass.dev/digest': action.digest,
        ...(body.kind === 'container' ? { [plainOutputs]: 'true' } : {}),
      },
      ownerReferences: [
        {
          apiVersion,
          kind: 'WorkflowRun',
          ...owner,
          controller: true,
          blockOwnerDeletion: false,
        },
      ],
    },
    spec: podSpec(action, body, spec, image, files),
  };
}

function podSpec(
  action: StartAction,
  body: PodBody,
  template: JsonObject,
  image: string,
  files: ManifestOptions['files'],
): JsonObject {
  const { pod } = body;
  return {
    enableServiceLinks: false,
    terminationGracePeriodSeconds: 30,
    ...template,
    // Without its token: a step that needs one names its account.
    ...(pod.serviceAccountName === null
      ? { automountServiceAccountToken: false }
      : { serviceAccountName: pod.serviceAccountName }),
    ...(pod.affinity === null ? {} : { affinity: pod.affinity }),
    ...nonEmptyMap('nodeSelector', { ...objectIn(template, 'nodeSelector'), ...pod.nodeSelector }),
    ...nonEmpty('tolerations', [...listIn(template, 'tolerations'), ...pod.tolerations]),
    ...nonEmpty('imagePullSecrets', [
      ...listIn(template, 'imagePullSecrets'),
      ...pod.imagePullSecrets.map((name) => ({ name })),
    ]),
    securityContext: { ...podSecurity(pod.security), ...objectIn(template, 'securityContext') },
    restartPolicy: 'Never',
    volumes: [
      ...listIn(template, 'volumes'),
      ...pod.volumes.map(volumeSource),
      { name: 'windlass', emptyDir: {} },
      ...(files
        ? [
            {
              name: 'windlass-files',
              configMap: {
                name: files.configMap,
                defaultMode: 0o755,
                items: files.items.map(({ key, path }) => ({ key, path })),
              },
            },
          ]
        : []),
    ],
    containers: [container(action, body, template, image, files !== null)],
  };
}

function container(
  action: StartAction,
  body: PodBody,
  template: JsonObject,
  image: string,
  hasFiles: boolean,
): JsonObject {
  const own = containerTemplate(template);
  return {
    ...own,
    name: stepContainer,
    image,
    ...commandOf(body),
    env: [...listIn(own, 'env'), ...environment(action, body)],
    ...(body.pod.resources === null ? {} : { resources: body.pod.resources }),
    securityContext: { ...containerSecurity(body.pod.security), ...objectIn(own, 'securityContext') },
    terminationMessagePath,
    terminationMessagePolicy: 'File',
    volumeMounts: [
      ...listIn(own, 'volumeMounts'),
      ...body.pod.volumes.map((volume) => ({
        name: volume['name'] as string,
        mountPath: volume['mountPath'] as string,
        ...(volume['readOnly'] === undefined ? {} : { readOnly: volume['readOnly'] }),
        ...(volume['subPath'] === undefined ? {} : { subPath: volume['subPath'] }),
      })),
      { name: 'windlass', mountPath: paths.root },
      ...(hasFiles ? [{ name: 'windlass-files', mountPath: paths.files, readOnly: true }] : []),
    ],
  };
}

/** A script runs in our wrapper, a container as its image says. */
function commandOf(body: PodBody): JsonObject {
  if (body.kind === 'run') {
    const command = ['sh', '-c', wrapper, 'windlass', ...body.shell, body.script].map(literal);
    return { command, workingDir: paths.root };
  }
  return {
    ...(body.command === null ? {} : { command: body.command.map(literal) }),
    ...(body.args === null ? {} : { args: body.args.map(literal) }),
    ...(body.workingDir === null ? {} : { workingDir: body.workingDir }),
  };
}

/** Where a volume is mounted is the container's to say. */
function volumeSource(volume: JsonObject): JsonObject {
  return Object.fromEntries(
    Object.entries(volume).filter(([key]) => !['mountPath', 'readOnly', 'subPath'].includes(key)),
  );
}

/** What the template says of the step's own container. */
function containerTemplate(spec: JsonObject): JsonObject {
  const found = listIn(spec, 'containers').find((c) => isObject(c) && c['name'] === stepContainer);
  return isObject(found) ? found : {};
}

/** WINDLASS_* come last: outputs depend on them. */
function environment(action: StartAction, body: PodBody): JsonValue[] {
  const values = {
    ...(body.kind === 'run' ? { HOME: paths.work } : {}),
    ...body.env,
  };
  const own = stepVariables(action, {
    hash: attemptHash(action.key),
    files: paths.files,
    output: body.kind === 'run' ? paths.output : terminationMessagePath,
  });
  return [
    ...Object.entries(values)
      .filter(([name]) => !Object.hasOwn(body.secrets, name))
      .map(([name, value]) => ({ name, value: literal(value) })),
    ...Object.entries(body.secrets).map(([name, ref]) => ({
      name,
      valueFrom: { secretKeyRef: { name: ref.name, key: ref.key } },
    })),
    ...Object.entries(own).map(([name, value]) => ({ name, value: literal(value) })),
  ];
}

/** Kubernetes replaces `$(NAME)` in commands and values, and `$$` by `$`; a script must arrive as it was written. */
function literal(text: string): string {
  return text.replaceAll('$', '$$$$');
}

function podSecurity(profile: PodSettings['security']): JsonObject {
  const usual = { seccompProfile: { type: 'RuntimeDefault' } };
  if (profile === 'baseline') return usual;
  const ids = { runAsUser: restrictedId, runAsGroup: restrictedId, fsGroup: restrictedId };
  return { ...usual, runAsNonRoot: true, ...ids };
}

function containerSecurity(profile: PodSettings['security']): JsonObject {
  if (profile === 'baseline') return {};
  return { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } };
}

function nonEmpty(name: string, list: JsonValue[]): JsonObject {
  return list.length === 0 ? {} : { [name]: list };
}

function nonEmptyMap(name: string, map: JsonObject): JsonObject {
  return Object.keys(map).length === 0 ? {} : { [name]: map };
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function objectIn(parent: JsonObject, name: string): JsonObject {
  const value = parent[name];
  return isObject(value) ? value : {};
}

function listIn(parent: JsonObject, name: string): JsonValue[] {
  const value = parent[name];
  return Array.isArray(value) ? value : [];
}
