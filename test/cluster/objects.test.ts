import { pino } from 'pino';
import { afterAll, beforeAll, describe } from 'vitest';
import { kinds } from '../../crds/kinds.ts';
import { crdManifest } from '../../crds/manifest.ts';
import { KubernetesClient } from '../../controller/kubernetes/client.ts';
import { createKubernetesObjects, type KubernetesObjects } from '../../controller/objects/kubernetes/objects.ts';
import { systemClock } from '../../controller/runtime/clock.ts';
import { describeObjectStore } from '../conformance/objects.ts';
import { install } from '../fixtures/kubectl.ts';
import { startApiServer } from '../fixtures/kubernetes.ts';

const server = await startApiServer();
const stores: KubernetesObjects[] = [];

beforeAll(async () => {
  if (!server) return;
  const namespaces = Array.from({ length: 60 }, (_, i) => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: `objects-${i + 1}` },
  }));
  await install(server, [...Object.values(kinds).map(crdManifest), ...namespaces]);
});

afterAll(async () => {
  for (const store of stores) store.close();
  await server?.stop();
});

function open(fieldManager: string): KubernetesObjects {
  if (!server) throw new Error('there is no API server');
  const store = createKubernetesObjects({
    client: new KubernetesClient(server.kubeConfig),
    fieldManager,
    clock: systemClock,
    log: pino({ level: 'silent' }),
  });
  stores.push(store);
  return store;
}

describe.skipIf(!server)('a Kubernetes API server', () => {
  let plain: KubernetesObjects;
  let following: KubernetesObjects;
  beforeAll(async () => {
    plain = open('plain');
    following = open('following');
    await following.ready();
  });
  describeObjectStore('Kubernetes, each read a request', () => plain);
  describeObjectStore('Kubernetes, read from watches', () => following);
});
