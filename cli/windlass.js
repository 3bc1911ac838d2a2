#!/usr/bin/env node
// Plain JavaScript, so that an old Node gets as far as this: the sources are TypeScript, which needs Node 22.19 or newer.
const [major, minor] = process.versions.node.split('.').map(Number);
if (major > 22 || (major === 22 && minor >= 19)) {
  const { runProcess } = await import('./process.ts');
  await runProcess();
} else {
  const { createRequire } = await import('node:module');
  const { spawn } = await import('node:child_process');
  const { fileURLToPath } = await import('node:url');
  let node;
  try {
    node = createRequire(import.meta.url).resolve(`node-${process.platform}-${process.arch}/bin/node`);
  } catch {
    process.stderr.write(
      `windlass needs Node 22.19 or newer and this is ${process.version}; install a newer one, or run npm ci without --omit=optional\n`,
    );
    process.exit(1);
  }
  const child = spawn(node, [...process.execArgv, fileURLToPath(import.meta.url), ...process.argv.slice(2)], {
    stdio: 'inherit',
  });
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
