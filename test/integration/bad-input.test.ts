/**
 * Whatever comes from outside: a clear message that says where and what to do, the last good version stays active, the
 * controller stays up, nothing recorded is lost. Shown elsewhere:
 * - a repository that vanishes, a moved tag, an input of the wrong type, a broken environment file: main-job.test.ts
 * - a data directory in use, a second controller on the embedded database: restart.test.ts
 * - bodies, queries and headers of the API: api/app.test.ts; every lint rule with its exact message: test/fixtures/lint/err
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { WorkflowSpec } from '../../crds/workflow.ts';
import { openLaptop } from '../../controller/start-laptop.ts';
import { controllerOptions, type ControllerWorld, quickstartRepository, startWorld } from '../fixtures/controller.ts';
import type { FileContent, ScratchRepository } from '../fixtures/repository.ts';

let world: ControllerWorld;
let repository: ScratchRepository;
beforeAll(async () => {
  world = await startWorld();
  repository = await quickstartRepository(join(world.directory, 'team'));
  await world.serve(repository);
  await world.active('dev', 'nightly-report', await repository.git(['rev-parse', 'HEAD']));
});
afterAll(() => world.stop());
afterEach(async () => {
  expect(await world.client.readiness()).toEqual({ ok: true, reasons: [] });
});

const head = 'apiVersion: windlass.dev/v1alpha1\nkind: Workflow\nmetadata: { name: bad }\nspec:\n';
const steps = (text: string) => `${head}  steps:\n${text}`;

interface BadFile {
  what: string;
  content: FileContent;
  rule: string;
  line: number;
  says: RegExp;
}

const badFiles: BadFile[] = [
  {
    what: 'broken YAML',
    content: `${head}  steps: [ { name: one, run: "echo 1 }\n`,
    rule: 'yaml-syntax',
    line: 6,
    says: /missing closing "quote/,
  },
  {
    what: 'an unknown field',
    content: steps('    - { name: one, rum: echo 1 }\n'),
    rule: 'schema-unknown-field',
    line: 6,
    says: /unknown field "rum".*did you mean run\?/,
  },
  {
    what: 'a wrong type',
    content: steps('    - { name: one, run: 1 }\n'),
    rule: 'schema-type',
    line: 6,
    says: /must be text, not 1; quote it/,
  },
  {
    what: 'a cycle',
    content: steps('    - { name: a, needs: [b], run: echo }\n    - { name: b, needs: [a], run: echo }\n'),
    rule: 'cycle',
    line: 6,
    says: /a.*b/,
  },
  {
    what: 'a reference to nothing',
    content: steps('    - { name: a, needs: [fetsh], run: echo }\n    - { name: fetch, run: echo }\n'),
    rule: 'needs-unknown-step',
    line: 6,
    says: /fetch/,
  },
  {
    what: 'a wrong expression',
    content: steps('    - { name: a, if: "inputs.region ==", run: echo }\n'),
    rule: 'expression-syntax',
    line: 6,
    says: /./,
  },
  {
    what: 'an expression over its cost',
    content: `${head}  inputs:\n    l: { type: array, items: { type: integer }, default: [] }\n  steps:\n    - { name: a, if: "inputs.l.all(x, inputs.l.all(y, x < y))", run: echo }\n`,
    rule: 'expression-cost',
    line: 8,
    says: /./,
  },
  {
    what: 'a name given twice',
    content: steps('    - { name: a, run: echo }\n    - { name: a, run: echo }\n'),
    rule: 'duplicate-step',
    line: 7,
    says: /a/,
  },
  {
    what: 'a key given twice',
    content: steps('    - { name: a, run: echo, run: echo }\n'),
    rule: 'yaml-duplicate-key',
    line: 6,
    says: /run/,
  },
  {
    what: 'a scalar that two YAML versions read differently',
    content: `${head}  inputs:\n    a: { type: boolean, default: yes }\n  steps:\n    - { name: a, run: echo }\n`,
    rule: 'yaml-ambiguous-scalar',
    line: 6,
    says: /yes/,
  },
  {
    what: 'a 5 MB file',
    content: `${head}  description: ${'x'.repeat(5 * 1024 * 1024)}\n`,
    rule: 'file-too-large',
    line: 1,
    says: /MiB/,
  },
  {
    what: 'an alias bomb',
    content: `${head}${['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
      .map(
        (n, i, all) =>
          `  ${n}: &${n} [${Array(10)
            .fill(i === 0 ? 'x' : `*${all[i - 1]}`)
            .join(', ')}]\n`,
      )
      .join('')}`,
    rule: 'yaml-aliases',
    line: 1,
    says: /alias/,
  },
  {
    what: 'bytes that are not UTF-8',
    content: Buffer.concat([Buffer.from(head), Buffer.from([0x23, 0x20, 0xff, 0xfe, 0x0a])]),
    rule: 'file-not-utf8',
    line: 5,
    says: /UTF-8/,
  },
  {
    what: 'a symlink in the place of a workflow',
    content: { symlink: 'nightly-report.yaml' },
    rule: 'file-symlink',
    line: 1,
    says: /symlink/,
  },
  {
    what: 'a symlink in `files`',
    content: `${head}  files: [link]\n  steps:\n    - { name: a, run: cat link }\n`,
    rule: 'files-symlink',
    line: 5,
    says: /symlink/,
  },
  {
    what: 'a file that is not there in `files`',
    content: `${head}  files: [nothing.sh]\n  steps:\n    - { name: a, run: sh nothing.sh }\n`,
    rule: 'files-no-match',
    line: 5,
    says: /nothing\.sh/,
  },
];

describe('a version with', () => {
  test.each(badFiles)(
    '$what is refused with its place, and dev keeps what it has',
    async ({ content, rule, line, says }) => {
      const { active } = await world.client.environment('dev');
      const file = 'workflows/bad.yaml';
      const commit = await repository.commit({ [file]: content, 'workflows/link': { symlink: '/etc/passwd' } }, 'Bad');
      const refused = await world.promotion('dev', commit, ({ phase }) => phase === 'Rejected');
      expect(refused).toMatchObject({ reason: 'InvalidRef', message: expect.stringContaining('push a new version') });
      expect(refused.diagnostics[0]).toMatchObject({
        file,
        rule,
        line,
        severity: 'error',
        message: expect.stringMatching(says),
      });
      expect((await world.client.environment('dev')).active).toEqual(active);
    },
  );

  test('no workflow at all is refused too, and retires nothing', async () => {
    const { active } = await world.client.environment('dev');
    const commit = await repository.commit(
      Object.fromEntries(['bad.yaml', 'link', 'nightly-report.yaml'].map((name) => [`workflows/${name}`, null])),
      'Nothing left',
    );
    expect(await world.promotion('dev', commit, ({ phase }) => phase === 'Rejected')).toMatchObject({
      reason: 'NoWorkflows',
    });
    expect((await world.client.environment('dev')).active).toEqual(active);
  });

  test('a tag that names no version is told, and promotes nothing', async () => {
    await repository.tag('nightly');
    const [source] = await world.until(
      'the tag is refused',
      async () => (await world.client.sources()).items,
      ([seen]) => (seen?.refused.length ?? 0) > 0,
    );
    expect(source?.refused).toMatchObject([
      { ref: 'nightly', reason: 'NotSemver', message: expect.stringContaining('v1.4.0') },
    ]);
    expect((await world.client.promotions({ environment: 'staging' })).items).toEqual([]);
  });
});

describe('a step that', () => {
  async function run(step: WorkflowSpec['steps'][number]) {
    await world.client.apply({
      kind: 'Workflow',
      metadata: { name: 'rough', namespace: 'free' },
      spec: { steps: [step] },
    });
    return await world.run('free', 'rough');
  }
  async function output(key: { namespace: string; name: string }): Promise<string> {
    let text = '';
    for await (const event of world.client.followLogs(key)) {
      if (event.event === 'log') text += event.lines.map((line) => line.text).join('');
    }
    return text;
  }

  test('prints 1 GB runs on to its end; the log is cut, and says so', { timeout: 120_000 }, async () => {
    const ended = await run({
      name: 'loud',
      run: 'yes 0123456789 | head -c 1000000000; echo done=1 >> $WINDLASS_OUTPUT',
      outputs: { done: { type: 'integer' } },
    });
    expect(ended).toMatchObject({ phase: 'Succeeded', steps: [{ outputs: { done: 1 } }] });
    const text = await output(ended);
    expect(text.length).toBeGreaterThan(99 * 1024 * 1024);
    expect(text.length).toBeLessThanOrEqual(100.1 * 1024 * 1024);
    expect(text.slice(0, 22)).toBe('0123456789\n0123456789\n');
    expect(text.slice(-500)).toMatch(/cut|left out|not kept/);
  });

  test('never ends is ended by its timeout, with what it began', async () => {
    const ended = await run({ name: 'endless', run: 'sleep 600 & sleep 600', timeout: '1s' });
    expect(ended).toMatchObject({
      phase: 'Failed',
      steps: [{ attempts: [{ phase: 'TimedOut' }], error: { type: 'timeout' } }],
    });
  });

  test('prints NUL and broken UTF-8 loses nothing else; in an output, which is text, NUL is replaced', async () => {
    const script = String.raw`printf 'a\000b\377c\n'; printf 'text=a\000b\n' >> $WINDLASS_OUTPUT`;
    const ended = await run({ name: 'binary', run: script, outputs: { text: { type: 'string' } } });
    expect(ended).toMatchObject({ phase: 'Succeeded', steps: [{ outputs: { text: 'a\uFFFDb' } }] });
    expect(await output(ended)).toBe('a\0b\uFFFDc\n');
  });

  test('writes an output of the wrong type fails, and says which', async () => {
    const ended = await run({
      name: 'wrong',
      run: 'echo rows=many >> $WINDLASS_OUTPUT',
      outputs: { rows: { type: 'integer' } },
    });
    expect(ended).toMatchObject({
      phase: 'Failed',
      steps: [{ phase: 'Failed', error: { message: expect.stringContaining('rows') } }],
    });
  });
});

test('a taken port ends the start with a sentence, and lets the data directory go', async () => {
  const server = createServer();
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  const data = await mkdtemp(join(tmpdir(), 'windlass-port-'));
  try {
    const options = controllerOptions(data, { listen: { host: '127.0.0.1', port } });
    await expect(openLaptop(options)).rejects.toThrow(
      `Cannot listen on 127.0.0.1:${port}: the port is taken by another program; stop it, or choose another with --port.`,
    );
    const { controller: second } = await openLaptop(controllerOptions(data));
    await second.stop(0);
  } finally {
    server.close();
    await rm(data, { recursive: true, force: true });
  }
});

const smallDisk = await mountSmallDisk();
afterAll(() => smallDisk?.unmount());

describe.skipIf(smallDisk === null)('a full disk (skipped where no tmpfs can be mounted)', () => {
  test('keeps the controller up and what was recorded; with room again it goes on', { timeout: 60_000 }, async () => {
    const directory = smallDisk?.path ?? '';
    const small = await startWorld({ dataDir: join(directory, '.windlass') });
    try {
      const spec: WorkflowSpec = { steps: [{ name: 'greet', run: 'echo hello' }] };
      await small.client.apply({ kind: 'Workflow', metadata: { name: 'greeting', namespace: 'free' }, spec });
      const before = await small.run('free', 'greeting');
      expect(before.phase).toBe('Succeeded');
      const ballast = join(directory, 'ballast');
      await fill(ballast);
      // Random text, which the database cannot make smaller.
      const large: WorkflowSpec = {
        steps: [{ name: 'render', template: { text: randomBytes(45_000).toString('base64') } }],
      };
      const apply = (name: string, what: WorkflowSpec) =>
        small.client.apply({ kind: 'Workflow', metadata: { name, namespace: 'free' }, spec: what });
      await expect(apply('large', large)).rejects.toMatchObject({
        status: 503,
        message: 'The disk of the database is full: nothing was changed. Free some space, then try again.',
      });
      expect(await small.client.run(before)).toEqual(before);
      await rm(ballast);
      await apply('large', large);
      expect(await small.run('free', 'large')).toMatchObject({ phase: 'Succeeded' });
      expect(await small.run('free', 'greeting')).toMatchObject({ phase: 'Succeeded' });
      expect(await small.client.run(before)).toEqual(before);
      expect(await small.client.readiness()).toEqual({ ok: true, reasons: [] });
    } finally {
      await small.stop();
    }
  });
});

/** Writes a file until nothing more fits. */
async function fill(path: string): Promise<void> {
  for (const size of [1 << 20, 1 << 12, 1]) {
    for (;;) {
      try {
        await writeFile(path, Buffer.alloc(size), { flag: 'a' });
      } catch (error) {
        expect((error as NodeJS.ErrnoException).code).toBe('ENOSPC');
        break;
      }
    }
  }
}

async function mountSmallDisk(): Promise<{ path: string; unmount(): Promise<void> } | null> {
  const path = await mkdtemp(join(tmpdir(), 'windlass-disk-'));
  const run = promisify(execFile);
  try {
    await run('mount', ['-t', 'tmpfs', '-o', 'size=128m', 'windlass-test', path]);
  } catch {
    await rm(path, { recursive: true });
    return null;
  }
  return {
    path,
    async unmount() {
      await run('umount', [path]);
      await rm(path, { recursive: true });
    },
  };
}
