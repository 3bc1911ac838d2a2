import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { RecordingSink, startAction } from '../../../test/conformance/executor.ts';
import { ProcessWorld } from '../../../test/fixtures/process-world.ts';
import type { AttemptKey } from '../../core/run/types.ts';

const log = { storedBytes: 100_000, fileBytes: 1_000_000 };
const cutNotice = '\n[windlass] the log is cut here after 1000000 bytes; the step ran on\n';
let sink: RecordingSink;
let world: ProcessWorld;

beforeEach(async () => {
  sink = new RecordingSink();
  world = await ProcessWorld.create(sink);
});
afterEach(() => world.dispose());

/** What is stored, then the rest from where it begins; and the rest must overlap with what is stored as it should. */
async function wholeLog(key: AttemptKey): Promise<string> {
  const stored = Buffer.from(sink.text(key));
  const said = sink.overflows.at(-1);
  if (!said?.rest) return stored.toString();
  const found = await world.artifacts.get(said.rest.digest);
  const rest = found ? await buffer(found.content) : Buffer.alloc(0);
  expect(rest.length).toBe(said.rest.bytes);
  expect(stored.length).toBe(log.storedBytes);
  expect(said.position).toBe(log.storedBytes - 3);
  expect(rest.subarray(0, 3)).toEqual(stored.subarray(said.position));
  return Buffer.concat([stored.subarray(0, said.position), rest]).toString();
}

async function printed(script: string, options = {}, more = {}): Promise<string> {
  const action = startAction(world.script(script, more));
  await world.executor({ log, ...options }).start(action);
  await sink.end(action.key);
  return wholeLog(action.key);
}

test.each([99_999, 100_000, 100_001, 165_536, 700_000])('%i bytes are kept, every one', async (bytes) => {
  expect((await printed(`seq 1000000 | head -c ${bytes}`)) === numbers(bytes)).toBe(true);
  expect(sink.overflows.map(({ rest }) => rest !== null)).toEqual(bytes < 100_000 ? [] : [false, true]);
});

test('secrets are hidden in the rest, also across the border and where the log is cut', async () => {
  world.secrets.set('api/token', 'hunter2-token');
  const secrets = { secrets: { TOKEN: { name: 'api', key: 'token' } } };
  const fill = (count: number) => `head -c ${count} /dev/zero | tr '\\0' x; printf %s "$TOKEN"`;
  expect(
    (await printed(`${fill(99_995)}; ${fill(70_000)}; ${fill(10)}`, {}, secrets)) ===
      [99_995, 70_000, 10].map((n) => `${'x'.repeat(n)}***`).join(''),
  ).toBe(true);
  const cut = await printed(`${fill(999_930)}; echo more`, {}, secrets);
  expect(cut.replaceAll('x', '')).toBe(cutNotice);
});

test('what is more than may be kept at all is cut, with a line that says so', async () => {
  const text = await printed('seq 1000000');
  expect(text.endsWith(cutNotice)).toBe(true);
  const kept = text.slice(0, -cutNotice.length);
  expect(kept.length).toBeGreaterThan(log.fileBytes - 512);
  expect(kept === numbers(kept.length)).toBe(true);
});

test('masks that make the log longer do not let it grow beyond that', async () => {
  world.secrets.set('api/token', 'q');
  const text = await printed(
    "yes qz | tr -d '\\n' | head -c 900000",
    {},
    { secrets: { TOKEN: { name: 'api', key: 'token' } } },
  );
  expect(text.length).toBe(log.fileBytes + cutNotice.length);
  expect(text.slice(0, 8)).toBe('***z***z');
});

test('the last line is told of a step that fails after much output', async () => {
  const action = startAction(world.script('seq 100000; echo no such order; exit 1'));
  await world.executor({ log }).start(action);
  expect(await sink.end(action.key)).toMatchObject({ error: { message: expect.stringContaining('no such order') } });
});

test('the next controller keeps the same, whether the last one had stored all, some or nothing of it', async () => {
  const action = startAction(
    world.script(`seq 50000; echo 1 > "$TMPDIR/ready"; until [ -e "$TMPDIR/go" ]; do sleep 0.02; done; seq 50000`),
  );
  const first = world.executor({ log });
  await first.start(action);
  await world.fileAppears('ready');
  await sink.until(() => sink.overflows.length > 0);
  await first.close();
  await world.executor({ log }).start(action);
  await writeFile(join(world.directory, 'go'), '');
  await sink.end(action.key);
  const whole = await wholeLog(action.key);
  expect(whole === numbers(1e9, 50_000).repeat(2)).toBe(true);
  // Killed after it had kept the rest and before the end was recorded: the next one says the same.
  const { rest } = sink.overflows.at(-1) ?? {};
  await world.executor({ log }).start(action);
  await sink.end(action.key, 2);
  expect(sink.overflows.at(-1)?.rest).toEqual(rest);
  expect((await wholeLog(action.key)) === whole).toBe(true);
});

test('a place for artifacts that fails for a while loses nothing', async () => {
  const folder = join(world.directory, 'artifacts');
  await writeFile(folder, 'in the way');
  const put: typeof world.artifacts.put = async (...args) => {
    try {
      return await world.artifacts.put(...args);
    } catch (error) {
      await rm(folder, { force: true });
      await mkdir(folder);
      throw error;
    }
  };
  const artifacts = { store: { ...world.artifacts, put }, maxBytes: 1 };
  expect((await printed('seq 1000000 | head -c 300000', { artifacts })) === numbers(300_000)).toBe(true);
});

/** What `seq` prints, up to some bytes. */
function numbers(bytes: number, to = 1_000_000): string {
  let text = '';
  for (let n = 1; n <= to && text.length < bytes; n++) text += `${n}\n`;
  return text.slice(0, bytes);
}
