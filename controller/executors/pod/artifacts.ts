import type { JsonObject, JsonValue } from '../../../crds/json.ts';
import type { ArtifactRef, AttemptResult, StepError } from '../../core/run/types.ts';
import type { StartAction } from '../../seams/executor.ts';
import { type ContainerStatus, type Pod, stepContainer, type Terminated } from './pod.ts';
import { paths } from './wrapper.ts';

/** How the Pods of steps reach the artifacts: they hold no login of the store, and speak to this controller only. */
export interface PodArtifactOptions {
  /** The image of the controller itself, which holds the helper. */
  image: string;
  /** Where Pods reach the controller's API, such as http://windlass.windlass:8080. */
  url: string;
  /** Most bytes of one artifact. */
  maxBytes: number;
}

/** Puts what a step takes from others into its work directory, before it. */
const fetchContainer = 'windlass-fetch';
/** Keeps what a step leaves, after it. */
const collectContainer = 'windlass-collect';
const tokenVolume = 'windlass-token';
/** Which artifacts are collected, in the order of the collector's message. */
const outAnnotation = 'windlass.dev/artifacts';

/** Whom the tokens of helpers are for: nobody else takes them. */
export const artifactAudience = 'windlass.dev/artifacts';

/** Where the image of the controller has its helper. */
const helper = ['node', '/app/controller/executors/pod/artifact-helper.ts'];

/** What a helper is told, as JSON in WINDLASS_ARTIFACTS. */
export type HelperTask = { url: string; token: string; work: string } & (
  | { do: 'fetch'; files: string; prepared: string; in: Record<string, ArtifactRef> }
  | { do: 'collect'; maxBytes: number; out: Record<string, string> }
);

/** What a helper says at its end, as its termination message: at most 4096 bytes for 50 artifacts. */
export type HelperMessage =
  /** Digest (base64url, without `sha256:`), bytes, 1 for a folder, 2 for a file that may be run; in the order of the task. */
  { kept: [digest: string, bytes: number, what: 0 | 1 | 2][] } | { error: Pick<StepError, 'type' | 'message'> };

export function hasArtifacts({ artifacts }: StartAction): boolean {
  return Object.keys(artifacts.in).length > 0 || Object.keys(artifacts.out).length > 0;
}

/** The Pod with what brings and keeps the artifacts of its step; as it is when the step has none. */
export function withArtifactContainers(pod: JsonObject, action: StartAction, options: PodArtifactOptions): JsonObject {
  const { artifacts } = action;
  const [wantsIn, wantsOut] = [Object.keys(artifacts.in).length > 0, Object.keys(artifacts.out).length > 0];
  if (!hasArtifacts(action)) return pod;
  const metadata = pod['metadata'] as JsonObject;
  const spec = pod['spec'] as JsonObject;
  const [step] = spec['containers'] as JsonObject[];
  const before = (spec['initContainers'] ?? []) as JsonObject[];
  const files = (spec['volumes'] as JsonObject[]).some((volume) => volume['name'] === 'windlass-files');
  const common = { url: options.url, token: `${tokenFolder}/token`, work: paths.work };
  const fetch = (): JsonObject =>
    helperContainer(fetchContainer, options.image, step as JsonObject, files, {
      ...common,
      do: 'fetch',
      files: paths.files,
      prepared: paths.prepared,
      in: artifacts.in,
    });
  const collect = (): JsonObject =>
    helperContainer(collectContainer, options.image, step as JsonObject, false, {
      ...common,
      do: 'collect',
      maxBytes: options.maxBytes,
      out: artifacts.out,
    });
  const early = wantsIn ? [...before, fetch()] : before;
  return {
    ...pod,
    metadata: {
      ...metadata,
      annotations: {
        ...(metadata['annotations'] as JsonObject),
        ...(wantsOut ? { [outAnnotation]: JSON.stringify(Object.keys(artifacts.out)) } : {}),
      },
    },
    spec: {
      ...spec,
      volumes: [...(spec['volumes'] as JsonValue[]), tokenSource],
      // As an init container the step has ended, well, before what it left is collected.
      initContainers: wantsOut ? [...early, step as JsonObject] : early,
      containers: wantsOut ? [collect()] : [step as JsonObject],
    },
  };
}

const tokenFolder = '/windlass-token';

/** Bound to the Pod, for nobody but this controller, and in no container of the step. */
const tokenSource: JsonObject = {
  name: tokenVolume,
  projected: {
    defaultMode: 0o444,
    sources: [{ serviceAccountToken: { audience: artifactAudience, expirationSeconds: 3600, path: 'token' } }],
  },
};

function helperContainer(name: string, image: string, step: JsonObject, files: boolean, task: HelperTask): JsonObject {
  const restricted = Object.hasOwn((step['securityContext'] ?? {}) as JsonObject, 'allowPrivilegeEscalation');
  return {
    name,
    image,
    command: helper,
    env: [{ name: 'WINDLASS_ARTIFACTS', value: JSON.stringify(task).replaceAll('$', '$$$$') }],
    resources: { requests: { cpu: '10m', memory: '64Mi' }, limits: { memory: '512Mi' } },
    // Restricted, it is the step's own user; else it must be able to read whatever user the step's image has.
    securityContext: restricted
      ? { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] }, readOnlyRootFilesystem: true }
      : { runAsUser: 0, runAsGroup: 0 },
    terminationMessagePolicy: 'File',
    volumeMounts: [
      { name: 'windlass', mountPath: paths.root },
      { name: tokenVolume, mountPath: tokenFolder, readOnly: true },
      ...(files ? [{ name: 'windlass-files', mountPath: paths.files, readOnly: true }] : []),
    ],
  };
}

/** Names of what is collected of it; empty when nothing is. */
function collectedOf(pod: Pod): string[] {
  const text = pod.metadata.annotations?.[outAnnotation];
  return text === undefined ? [] : (JSON.parse(text) as string[]);
}

export function collectStatus(pod: Pod): ContainerStatus | undefined {
  return pod.status?.containerStatuses?.find((c) => c.name === collectContainer);
}

/** The step has ended well, and what it left is still to be collected. */
export function awaitsCollecting(pod: Pod, step: Terminated): boolean {
  if (step.exitCode !== 0 || pod.status?.phase === 'Failed' || collectedOf(pod).length === 0) return false;
  return collectStatus(pod)?.state?.terminated === undefined;
}

/** The result of a step that ended well, with what was collected of it. */
export function withCollected(pod: Pod, result: AttemptResult): AttemptResult {
  const names = collectedOf(pod);
  if (result.outcome !== 'Succeeded' || names.length === 0) return result;
  const terminated = collectStatus(pod)?.state?.terminated;
  const message = readHelperMessage(terminated);
  if (message === null || 'error' in message || message.kept.length !== names.length) {
    return { outcome: 'Failed', error: helperError(terminated, 'what the step left could not be collected') };
  }
  const artifacts = message.kept.map(([digest, bytes, what], i): [string, ArtifactRef] => {
    const hex = Buffer.from(digest, 'base64url').toString('hex');
    const ref: ArtifactRef = { digest: `sha256:${hex}`, bytes, folder: what === 1 };
    return [names[i] ?? '', what === 2 ? { ...ref, executable: true } : ref];
  });
  return { ...result, artifacts: Object.fromEntries(artifacts) };
}

/** Why what a step takes from others could not be brought; null when that is not what failed. */
export function fetchFailure(pod: Pod): StepError | null {
  const status = pod.status?.initContainerStatuses?.find((c) => c.name === fetchContainer);
  const terminated = status?.state?.terminated;
  if (terminated === undefined || terminated.exitCode === 0) return null;
  return helperError(terminated, 'what the step takes from others could not be brought');
}

function helperError(terminated: Terminated | undefined, what: string): StepError {
  const message = readHelperMessage(terminated);
  if (message !== null && 'error' in message) {
    const { type, message: why } = message.error;
    return { type, message: why, retryable: type.startsWith('infrastructure/') };
  }
  const how =
    terminated === undefined ? 'its Pod is gone' : `exit code ${terminated.exitCode} ${terminated.reason ?? ''}`;
  return { type: 'infrastructure/artifacts', message: `${what}: ${how.trim()}`, retryable: true };
}

function readHelperMessage(terminated: Terminated | undefined): HelperMessage | null {
  try {
    return JSON.parse(terminated?.message ?? '') as HelperMessage;
  } catch {
    return null;
  }
}

/** The step's own container is where outputs and logs are, whichever list it is in. */
export function stepOf(spec: JsonObject | undefined): JsonObject | undefined {
  const all = [
    ...((spec?.['containers'] ?? []) as JsonObject[]),
    ...((spec?.['initContainers'] ?? []) as JsonObject[]),
  ];
  return all.find((container) => container['name'] === stepContainer);
}
