import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { mkdir, readFile, rm, watch } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type Client, createClient } from '../../../api/client.ts';

/** A controller in a process of its own, and the two ways to speak to it: the HTTP API and the CLI. */
export interface DemoController {
  client: Client;
  url: string;
  pid: number;
  /** Runs `windlass …` against it; returns what it printed. @throws with its stderr when it fails */
  cli(...args: string[]): Promise<string>;
  stop(): Promise<void>;
}

const windlass = fileURLToPath(new URL('../../../cli/windlass.js', import.meta.url));
/** `up` gives running steps 10 s; whoever takes longer is ended. */
const stopLimitMs = 15_000;

/** Starts `windlass up` on the repository, on a free port, and resolves once it is ready. */
export async function startDemoController(options: {
  repository: string;
  data: string;
  log: string;
  signal: AbortSignal;
}): Promise<DemoController> {
  const { data, signal } = options;
  await mkdir(data, { recursive: true, mode: 0o700 });
  // One that was killed left it behind.
  await rm(join(data, 'address'), { force: true });
  const output = openSync(options.log, 'a');
  const child = spawn(
    process.execPath,
    [windlass, 'up', '--repo', options.repository, '--data', data, '--port', '0'],
    // A group of its own: Ctrl-C reaches it once, from us. An embedded database, whatever the shell has set.
    { stdio: ['ignore', output, output], detached: true, env: { ...process.env, DATABASE_URL: '' } },
  );
  const stop = () => end(child);
  try {
    const url = await Promise.race([announced(data, signal), died(child, options.log)]);
    const token = (await readFile(join(data, 'token'), 'utf8')).trim();
    const env = { ...process.env, WINDLASS_TOKEN: token };
    return {
      url,
      pid: child.pid ?? 0,
      client: createClient({ server: url, token, fetch: (request) => fetch(request, { signal }) }),
      async cli(...args) {
        const run = promisify(execFile);
        const { stdout } = await run(process.execPath, [windlass, '--server', url, ...args], { env, signal });
        return stdout.trim();
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw signal.aborted ? signal.reason : error;
  }
}

/** The URL, once the data directory says where the controller listens. */
async function announced(data: string, signal: AbortSignal): Promise<string> {
  const read = () => readFile(join(data, 'address'), 'utf8').catch(() => '');
  const changes = watch(data, { signal });
  for (let text = await read(); ; text = await read()) {
    if (text.endsWith('\n')) return text.trim();
    await changes.next();
  }
}

async function died(child: ChildProcess, log: string): Promise<never> {
  await once(child, 'exit');
  throw new Error(`the controller ended at once:\n${(await readFile(log, 'utf8')).trim()}`);
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  const timer = setTimeout(() => child.kill('SIGKILL'), stopLimitMs);
  child.kill('SIGTERM');
  await gone;
  clearTimeout(timer);
}
