import { type ChildProcess, spawn } from 'node:child_process';
import type { SpawnReply, SpawnRequest } from './spawner.ts';

/**
 * The spawner's own process; spawner.ts is the side of the controller. It has nothing to lose: whoever began an attempt is
 * found by the attempt's folder. It ends with the controller, and by no signal that ends everything around it: the
 * controller still has to hear how its attempts end.
 */
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => {});
process.once('disconnect', () => process.exit(0));
process.on('message', (request: SpawnRequest) => {
  const { id, file, args, cwd, env } = request;
  try {
    const child = spawn(file, args, { cwd, env, detached: true, stdio: 'ignore' });
    follow(id, child);
  } catch (error) {
    refuse(id, error);
  }
});

function follow(id: number, child: ChildProcess): void {
  child.once('spawn', () => reply({ id, is: 'begun', pid: child.pid ?? 0 }));
  child.once('error', (error) => refuse(id, error));
  child.once('exit', (code) => reply({ id, is: 'ended', code }));
}

function refuse(id: number, error: unknown): void {
  const { code, message } = error as NodeJS.ErrnoException;
  reply({ id, is: 'refused', code: code ?? null, message });
}

function reply(message: SpawnReply): void {
  // The controller may just have gone.
  if (process.connected) process.send?.(message, undefined, undefined, () => {});
}
