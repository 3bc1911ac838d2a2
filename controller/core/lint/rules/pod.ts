import type { JsonValue } from '../../../../crds/json.ts';
import type { Path } from '../../parse/position.ts';
import type { Finding, Rule, VisitedStep } from '../visit.ts';

/** A quantity of Kubernetes: a number, maybe with an exponent or a unit. */
const quantity = /^\+?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+|[numkMGTPE]|[KMGTPE]i)?$/;
/** Of the Pod's spec: fields that are the step's to say, or nobody's, as they make the Pod an attempt. */
const specFields: Record<string, string> = {
  restartPolicy: 'an attempt is never restarted; use retry',
  serviceAccountName: 'use serviceAccountName of the step',
  serviceAccount: 'use serviceAccountName of the step',
  automountServiceAccountToken: 'only an account named by serviceAccountName of the step has its token there',
  ephemeralContainers: 'they are for debugging',
};
const containerFields: Record<string, string> = {
  image: 'use image of the step, or container.image',
  command: 'use run and shell of the step, or container.command',
  args: 'use run and shell of the step, or container.args',
  workingDir: 'a script works in a directory of its own; for a container use container.workingDir',
  restartPolicy: 'an attempt is never restarted; use retry',
  terminationMessagePath: 'outputs are handed over there',
  terminationMessagePolicy: 'outputs are handed over there',
};
const notSources = ['name', 'mountPath', 'readOnly', 'subPath'];

/** What the schema leaves open in the fields of a step's Pod. The rest of Kubernetes' own fields the API server judges. */
export const pod: Rule = {
  name: 'pod',
  check: ({ steps }) =>
    steps.flatMap((step) => [...resources(step), ...volumes(step), ...template(step), ...affinity(step)]),
};

function* resources({ spec, path }: VisitedStep): Generator<Finding> {
  for (const part of ['requests', 'limits'] as const) {
    for (const [name, value] of Object.entries(spec.resources?.[part] ?? {})) {
      const good = (typeof value === 'number' && value >= 0) || (typeof value === 'string' && quantity.test(value));
      const message = `${name}: not a quantity, such as 100m, 2 or 64Mi`;
      if (!good) yield { path: [...path, 'resources', part, name], message };
    }
  }
}

function* volumes({ spec, path }: VisitedStep): Generator<Finding> {
  const names = new Set<string>();
  for (const [i, value] of (spec.volumes ?? []).entries()) {
    const at: Path = [...path, 'volumes', i];
    if (!isObject(value as JsonValue)) {
      yield { path: at, message: 'a volume has name, mountPath and one source, such as persistentVolumeClaim' };
      continue;
    }
    yield* volume(value as Record<string, JsonValue>, at, names);
  }
}

function* volume(volume: Record<string, JsonValue>, path: Path, names: Set<string>): Generator<Finding> {
  const { name, mountPath, readOnly, subPath } = volume;
  if (typeof name !== 'string' || !/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name)) {
    yield { path, message: 'name: lower case letters, digits and hyphens, 63 at most' };
  } else if (name.startsWith('windlass')) yield { path: [...path, 'name'], message: `"${name}" is taken by Windlass` };
  else if (names.has(name)) yield { path: [...path, 'name'], message: `there are two volumes "${name}"` };
  if (typeof name === 'string') names.add(name);
  if (typeof mountPath !== 'string' || !mountPath.startsWith('/')) {
    yield { path, message: 'mountPath: an absolute path in the container' };
  } else if (mountPath === '/' || /^\/windlass(\/|$)/.test(mountPath)) {
    yield { path: [...path, 'mountPath'], message: `"${mountPath}" is taken: another volume would hide what is there` };
  }
  if (readOnly !== undefined && typeof readOnly !== 'boolean') {
    yield { path: [...path, 'readOnly'], message: 'readOnly: true or false' };
  }
  if (subPath !== undefined && typeof subPath !== 'string')
    yield { path: [...path, 'subPath'], message: 'subPath: a path' };
  const sources = Object.keys(volume).filter((key) => !notSources.includes(key));
  if (sources.length !== 1) {
    const found = sources.length === 0 ? 'none' : sources.join(', ');
    yield { path, message: `exactly one source, such as persistentVolumeClaim; there is ${found}` };
  }
}

function* template({ spec, path }: VisitedStep): Generator<Finding> {
  const written = spec.podTemplate as JsonValue | undefined;
  if (written === undefined) return;
  const at: Path = [...path, 'podTemplate'];
  if (!isObject(written)) {
    yield { path: at, message: 'metadata and spec of a Pod' };
    return;
  }
  for (const key of Object.keys(written)) {
    if (key !== 'metadata' && key !== 'spec')
      yield { path: [...at, key], at: 'key', message: `only metadata and spec, not ${key}` };
  }
  yield* metadata(written['metadata'], [...at, 'metadata']);
  const podSpec = written['spec'];
  if (podSpec === undefined) return;
  if (!isObject(podSpec)) {
    yield { path: [...at, 'spec'], message: 'the spec of a Pod' };
    return;
  }
  yield* refused(podSpec, specFields, [...at, 'spec']);
  for (const list of ['initContainers', 'containers']) yield* mounts(podSpec[list], [...at, 'spec', list]);
  const containers = podSpec['containers'];
  if (containers === undefined) return;
  const here: Path = [...at, 'spec', 'containers'];
  const only = Array.isArray(containers) && containers.length === 1 ? containers[0] : undefined;
  if (!isObject(only) || only['name'] !== 'step') {
    const aside = 'what runs beside it is an init container with restartPolicy Always';
    yield { path: here, message: `only the step's own container, named step; ${aside}` };
    return;
  }
  yield* refused(only, containerFields, [...here, 0]);
}

/** Our volumes hold what the step must not have, such as the token for its artifacts. */
function* mounts(containers: JsonValue | undefined, path: Path): Generator<Finding> {
  for (const [i, container] of asList(containers).entries()) {
    if (!isObject(container)) continue;
    for (const part of ['volumeMounts', 'volumeDevices']) {
      for (const [k, mount] of asList(container[part]).entries()) {
        const name = isObject(mount) ? mount['name'] : undefined;
        if (typeof name !== 'string' || !name.startsWith('windlass')) continue;
        yield { path: [...path, i, part, k, 'name'], message: `"${name}" is a volume of Windlass: no mount of yours` };
      }
    }
  }
}

function* metadata(value: JsonValue | undefined, path: Path): Generator<Finding> {
  if (value === undefined) return;
  if (!isObject(value)) {
    yield { path, message: 'labels and annotations' };
    return;
  }
  for (const key of Object.keys(value)) {
    if (key !== 'labels' && key !== 'annotations') {
      yield { path: [...path, key], at: 'key', message: `only labels and annotations, not ${key}` };
    }
  }
}

function* affinity({ spec, path }: VisitedStep): Generator<Finding> {
  const value = spec.affinity as JsonValue | undefined;
  if (value === undefined || isObject(value)) return;
  yield { path: [...path, 'affinity'], message: 'nodeAffinity, podAffinity or podAntiAffinity of a Pod' };
}

function* refused(object: Record<string, JsonValue>, fields: Record<string, string>, path: Path): Generator<Finding> {
  for (const key of Object.keys(object)) {
    const why = Object.hasOwn(fields, key) ? fields[key] : undefined;
    if (why !== undefined) yield { path: [...path, key], at: 'key', message: `${key} is not for podTemplate: ${why}` };
  }
}

function asList(value: JsonValue | undefined): JsonValue[] {
  return Array.isArray(value) ? value : [];
}

function isObject(value: JsonValue | undefined): value is Record<string, JsonValue> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
