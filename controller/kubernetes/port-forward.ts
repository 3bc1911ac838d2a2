import { createServer, type AddressInfo, type Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import { type KubeConfig, PortForward } from '@kubernetes/client-node';

/** A port of a Pod at an address of this machine. */
export interface ForwardedPort {
  url: string;
  /** Why the last connection could not be carried; null when it could. */
  failure(): string | null;
  close(): void;
}

/** As much of a WebSocket as is needed; the library's type for it is not its own. */
interface Carrier {
  addEventListener(type: 'close', listener: () => void): void;
  close(): void;
}

/**
 * Carries connections to a port of 127.0.0.1 over the API server to a port of a Pod, each over a WebSocket of its own, as
 * `kubectl port-forward` does. It does not keep the process running.
 */
export function forwardPort(
  config: KubeConfig,
  pod: { namespace: string; name: string; port: number },
): Promise<ForwardedPort> {
  // By itself the library ends the process's own streams when the other side says that it is done.
  const streams = { stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough() };
  const forward = new PortForward(config, true);
  Object.assign((forward as unknown as { handler: object }).handler, { streams });
  let failure: string | null = null;

  async function carry(socket: Socket): Promise<void> {
    socket.on('error', () => socket.destroy());
    const errors = new PassThrough().on('data', (text: Buffer) => {
      failure = text.toString().trim();
      socket.destroy();
    });
    try {
      const ws: Carrier = await forward.portForward(pod.namespace, pod.name, [pod.port], socket, errors, socket);
      failure = null;
      ws.addEventListener('close', () => socket.end());
      socket.once('close', () => ws.close());
    } catch (error) {
      failure = (error as { message?: string }).message ?? 'the connection was refused';
      socket.destroy();
    }
  }

  return new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      socket.unref();
      void carry(socket);
    });
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      server.unref();
      resolve({
        url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
        failure: () => failure,
        close: () => void server.close(),
      });
    });
  });
}
