import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Store } from '../../controller/store/types.ts';
import { promotionRow, runRow } from '../fixtures/history.ts';

const at = 5_000;
const version = { workflow: 'report', digest: 'sha256:aa', ref: 'v1.0.0', commit: 'c1' };
const environment = { project: 'default', name: 'prod', uid: 'u' };
const namespace = 'workflows-prod';
const event = { kind: 'K', namespace: 'default', name: 'x', type: 'Normal' as const, reason: 'R', message: 'm', at };

/** Two controllers that share one database and every name, and nothing else. */
export function describeHomes(driver: string, open: (home: string) => Promise<Store>): void {
  describe(`two homes in one database: ${driver}`, () => {
    let here: Store;
    let there: Store;
    beforeAll(async () => {
      [here, there] = await Promise.all([open('home-a'), open('home-b')]);
      const row = promotionRow('home-a-promotion', { phase: 'Gating' });
      const events = [{ promotion: row.name, type: 'Normal' as const, reason: 'Promoted', message: 'in' }];
      await here.promotions.own(environment, namespace, at);
      await here.promotions.commit(
        environment,
        { promotions: [row], activate: [{ ...version, at }], names: [version], events },
        at,
      );
      await here.events.append([event]);
      const run = runRow('home-a-run', { namespace, name: 'nightly', environmentUid: environment.uid });
      await here.runs.create({ ...run, phase: 'Succeeded', outcome: 'Succeeded', finishedAt: at });
    }, 60_000);
    afterAll(async () => {
      await Promise.all([here.close(), there.close()]);
    });

    test('one sees nothing of what the other promoted, named, ran and did', async () => {
      expect(await there.promotions.get('home-a-promotion')).toBeNull();
      expect(await there.promotions.ofEnvironment('default', 'prod')).toEqual([]);
      expect((await there.promotions.list({}, { limit: 10 })).items).toEqual([]);
      expect(await there.promotions.active('default', 'prod')).toEqual([]);
      expect(await there.promotions.activeIn(namespace, 'report')).toBeNull();
      expect(await there.promotions.upstream('default', 'prod')).toEqual({
        active: [],
        history: [],
        retired: [],
        runs: [],
      });
      expect((await there.versions.list({}, { limit: 10 })).items).toEqual([]);
      expect(await there.versions.namesOf('default', [version.digest])).toEqual([]);
      expect(await there.events.list({}, { limit: 10 })).toEqual([]);
      expect(await there.runs.get('home-a-run')).toBeNull();
      expect(await there.runs.load(['home-a-run'])).toEqual([]);
      expect(await there.runs.getByName(namespace, 'nightly')).toBeNull();
      expect((await there.runs.list({}, { limit: 10 })).items).toEqual([]);
    });

    test('what one does to an environment of the same name leaves the other’s as it was', async () => {
      expect(await there.promotions.own(environment, namespace, at)).toBe(true);
      const taken = { promotions: [promotionRow('home-a-promotion', { phase: 'Superseded' })], names: [version] };
      const retired = [{ ...version, digest: null, at }];
      expect(
        await there.promotions.commit(environment, { ...taken, activate: [{ ...version, at }], events: [] }, at),
      ).toEqual({ revision: 1 });
      await there.promotions.commit(environment, { ...taken, activate: retired, events: [] }, at);
      await there.promotions.disown('default', 'prod');

      expect(await here.promotions.active('default', 'prod')).toEqual([{ ...version, since: at }]);
      expect(await here.promotions.activeIn(namespace, 'report')).toMatchObject({ digest: version.digest });
      const { history, retired: gone, runs } = await here.promotions.upstream('default', 'prod');
      expect({ history, gone, runs }).toEqual({
        history: [{ workflow: 'report', digest: version.digest }],
        gone: [],
        runs: [{ workflow: 'report', digest: version.digest, finished: 1, succeeded: 1, degraded: 0 }],
      });
      expect((await here.promotions.get('home-a-promotion'))?.phase).toBe('Gating');
      expect(await here.versions.namesOf('default', [version.digest])).toEqual([
        { project: 'default', ...version, at },
      ]);
    });

    test('the files and contents of a version are the same everywhere', async () => {
      const snapshot = { digest: 'sha256:shared', workflow: 'report', spec: {}, files: {} };
      await here.versions.put([snapshot], new Map(), at);
      expect(await there.versions.get('sha256:shared')).toEqual(snapshot);
    });

    test('each reads its own events to the end', async () => {
      await there.events.append([{ ...event, name: 'y' }]);
      expect((await there.events.list({ kind: 'K' }, { limit: 10 })).map(({ name }) => name)).toEqual(['y']);
      expect((await here.events.list({ kind: 'K' }, { limit: 10 })).map(({ name }) => name)).toEqual(['x']);
    });
  });
}
