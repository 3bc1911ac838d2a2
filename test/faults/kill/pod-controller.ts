import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { KubeConfig } from '@kubernetes/client-node';
import pino from 'pino';
import { systemClock } from '../../../controller/runtime/clock.ts';
import { startCluster } from '../../../controller/start-cluster.ts';

/**
 * One of several controllers of a cluster, to be killed and stalled. Arguments: folder of its own, URL of the database,
 * namespace to serve, token of whoever calls. Says its API's URL once it serves; ends with its standard input.
 */
const [dataDir = '', databaseUrl = '', namespace = '', tokenFile = ''] = process.argv.slice(2);
const kubeConfig = new KubeConfig();
kubeConfig.loadFromFile(process.env['KUBECONFIG'] ?? '');
const stopped = new AbortController();
const controller = await startCluster(
  {
    kubeConfig,
    databaseUrl,
    dataDir: join(dataDir, String(process.pid)),
    namespaces: [namespace],
    allowPrivilegedSteps: new Set(),
    allowPrivateHttp: new Set(),
    artifacts: null,
    pod: null,
    stepImage: 'busybox:1',
    retention: { ttlMs: null, perWorkflow: null },
    listen: { host: '127.0.0.1', port: 0 },
    env: { PATH: process.env['PATH'], HOME: dataDir },
    clock: systemClock,
    log: pino({ level: 'warn' }, pino.destination(2)),
    version: 'test',
  },
  stopped.signal,
);
process.stdin.once('end', () => void controller?.stop(0).then(() => process.exit(0)));
process.stdin.resume();
const token = (await readFile(tokenFile, 'utf8')).trim();
process.stdout.write(`${JSON.stringify({ url: controller?.url, token })}\n`);
