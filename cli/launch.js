// Plain JavaScript, so that an old Node gets as far as this: the sources are TypeScript, which needs Node 22.19 or newer.
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';

const [major, minor] = process.versions.node.split('.').map(Number);

/** Whether this Node can run the sources. */
export const canRun = major > 22 || (major === 22 && minor >= 19);

/**
 * Runs a file by the Node that npm installed beside the project, and ends as it ends. The package is asked for by name:
 * node_modules/.bin/node is not always there, as the packages of both processors claim it and npm 10 takes it away with
 * the one it does not need.
 */
export function relaunch(file, args) {
  let node;
  try {
    node = createRequire(import.meta.url).resolve(`node-${process.platform}-${process.arch}/bin/node`);
  } catch {
    process.stderr.write(
      `windlass needs Node 22.19 or newer and this is ${process.version}; install a newer one, or run npm ci without --omit=optional\n`,
    );
    process.exit(1);
  }
  const child = spawn(node, [...process.execArgv, file, ...args], { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    process.stderr.write(`windlass cannot start ${node}: ${error.message}\n`);
    process.exit(1);
  });
  child.on('exit', (code, signal) => {
    if (signal) {
      process.removeAllListeners(signal);
      process.kill(process.pid, signal);
    } else process.exit(code ?? 1);
  });
}
