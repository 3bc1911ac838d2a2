import { afterAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../controller/runtime/clock.ts';
import { openStore } from '../../controller/store/open.ts';
import { startPostgres } from '../fixtures/postgres.ts';
import { startReplica } from '../fixtures/replica-process.ts';

const server = await startPostgres();
afterAll(() => server?.stop());

const skipped = server ? '' : ' (skipped: no initdb and pg_ctl, or no user `postgres`, on this machine)';

describe.runIf(server)(`a replica whose main thread hangs${skipped}`, () => {
  test('its heartbeat stops though its worker thread is well, and another leads', async () => {
    const databaseUrl = server?.url ?? '';
    const child = await startReplica({ databaseUrl }, 'silent');
    const other = await openStore({ databaseUrl }, { clock: systemClock, home: 'silent' });
    try {
      const began = performance.now();
      const won = new Promise<boolean>((resolve) => other.onLeadership(resolve));
      const status = child.ask({ do: 'hang', ms: 20_000 });
      expect(await won).toBe(true);
      // Not before ten seconds of silence: a long garbage collection costs nobody its lease.
      expect(performance.now() - began).toBeGreaterThan(9_000);
      expect(await status).toMatchObject({ leader: false, lost: true });
    } finally {
      child.kill('SIGKILL');
      await child.exited;
      await other.close();
    }
  }, 60_000);
});
