import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Page, Run, RunSummary } from '../api/client.ts';
import type { Laptop } from '../controller/start-laptop.ts';
import { invoke, type InvocationOptions, windlass } from '../test/fixtures/cli.ts';
import { startQuietLaptop } from '../test/fixtures/laptop.ts';
import { createRepository, type ScratchRepository } from '../test/fixtures/repository.ts';
import { version } from './version.ts';

const workflow = (name: string, spec: object) =>
  JSON.stringify({ apiVersion: 'windlass.dev/v1alpha1', kind: 'Workflow', metadata: { name }, spec });
const environment = (name: string, spec: object) =>
  JSON.stringify({
    apiVersion: 'windlass.dev/v1alpha1',
    kind: 'Environment',
    metadata: { name },
    spec: { source: { name: 'repo' }, ...spec },
  });

const files = {
  'workflows/greet.yaml': workflow('greet', {
    inputs: { who: { type: 'string', default: 'you' }, times: { type: 'integer', default: 1 } },
    outputs: { said: '${{ steps.say.outputs.said }}' },
    steps: [
      {
        name: 'say',
        run: 'echo "hello $WHO"; echo "said=hello $WHO x$TIMES" >> "$WINDLASS_OUTPUT"',
        env: { WHO: '${{ inputs.who }}', TIMES: '${{ inputs.times }}' },
        outputs: { said: { type: 'string' } },
      },
    ],
  }),
  'workflows/flaky.yaml': workflow('flaky', {
    steps: [
      {
        name: 'try',
        run: 'echo "attempt $WINDLASS_ATTEMPT_NUMBER"; exit 3',
        retry: { limit: 1, backoff: { initial: '10ms' } },
      },
    ],
  }),
  'workflows/ask.yaml': workflow('ask', {
    steps: [
      { name: 'consent', approval: {} },
      { name: 'act', needs: ['consent'], run: 'echo acted' },
    ],
  }),
  'environments/dev.yaml': environment('dev', { track: { branch: 'main' } }),
  'environments/prod.yaml': environment('prod', {
    after: ['dev'],
    track: { tag: { semver: '>=1.0.0' } },
    gates: [{ approval: { count: 1 } }],
  }),
};

let root = '';
let repository: ScratchRepository;
let laptop: Laptop;
let options: InvocationOptions;

const cli = (...argv: string[]) => windlass(argv, options);
const json = async <T>(...argv: string[]) => JSON.parse((await cli(...argv, '-o', 'json')).stdout) as T;
/** Times, generated names and widths differ from run to run. */
const steady = (text: string) =>
  text
    .replace(/\b[0-9a-f]{12}\b/g, 'COMMIT')
    .replace(/(greet|flaky|ask)-[a-z0-9]{5}\b/g, '$1-XXXXX')
    .replace(/\b(\d+(\.\d+)?(ms|s|m|h|d))+\b/g, 'TIME')
    .replace(/ {2,}/g, '  ');

async function eventually<T>(look: () => Promise<T>, wanted: (value: T) => boolean): Promise<T> {
  for (;;) {
    const value = await look();
    if (wanted(value)) return value;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'windlass-cli-'));
  repository = await createRepository(root);
  await repository.commit(files, 'first');
  options = { cwd: repository.work, env: { HOME: root } };
  laptop = await startQuietLaptop(root, repository.url);
  await eventually(
    () => json<Page<unknown>>('get', 'workflows'),
    ({ items }) => items.length === 3,
  );
});

afterAll(async () => {
  await laptop?.controller.stop(0);
  await rm(root, { recursive: true, force: true });
});

describe('finding the controller', () => {
  test('the nearest .windlass upward says where it is', async () => {
    const { code, stdout } = await cli('version');
    expect(code).toBe(0);
    expect(stdout).toBe(`windlass ${version}\ncontroller ${version}, history in pglite\n`);
  });

  test('--server and WINDLASS_TOKEN name one; a wrong token is refused, and none is printed', async () => {
    const {
      token,
      controller: { url },
    } = laptop;
    const named = (env: Record<string, string>) =>
      windlass(['get', 'environments', '--server', url], { cwd: '/', env });
    expect(await named({ WINDLASS_TOKEN: token })).toMatchObject({ code: 0 });
    const wrong = await named({ WINDLASS_TOKEN: 'wrong-token' });
    expect(wrong.code).toBe(4);
    expect(wrong.stderr).not.toContain('wrong-token');
    expect((await named({})).stderr).toContain('Authorization: Bearer');
  });

  test('the token of the folder is not sent to another server', async () => {
    const { createServer } = await import('node:http');
    const seen: (string | undefined)[] = [];
    const server = createServer((request, response) => {
      seen.push(request.headers.authorization);
      response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    expect((await cli('get', 'environments', '--server', `http://127.0.0.1:${port}`)).code).toBe(3);
    expect(seen).toEqual([undefined]);
    await new Promise((resolve) => server.close(resolve));
  });
});

describe('run', () => {
  test('--wait shows the steps, ends with the outputs and 0', async () => {
    const { code, stdout } = await cli('run', 'greet', '--wait', '--input', 'who=12', '-i', 'times=3');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^run greet-\w{5} in dev\n/);
    expect(stdout).toMatch(/say Succeeded/);
    expect(stdout).toContain('outputs:\n  said: hello 12 x3\n');
  });

  test('--wait ends with 1 when it did not succeed', async () => {
    const { code, stdout } = await cli('run', 'flaky', '--wait', '--name', 'flaky-one');
    expect(code).toBe(1);
    expect(stdout).toMatch(/flaky-one Failed after \S+: step try: exit code 3.*\n$/);
  });

  test('-o json with --wait is the run of the API on stdout, progress goes to stderr', async () => {
    const { stdout, stderr } = await cli('run', 'greet', '--wait', '-o', 'json');
    expect(JSON.parse(stdout)).toMatchObject({ phase: 'Succeeded', outputs: { said: 'hello you x1' } });
    expect(stderr).toContain('say Succeeded');
  });

  test('inputs of a file, and over them those of the command line', async () => {
    await writeFile(join(repository.work, 'inputs.yaml'), 'who: file\ntimes: 5\n');
    const { stdout } = await cli('run', 'greet', '--wait', '--input-file', 'inputs.yaml', '--input', 'times=6');
    expect(stdout).toContain('hello file x6');
    const piped = await windlass(['run', 'greet', '--wait', '--input-file', '-'], { ...options, stdin: 'who: pipe' });
    expect(piped.stdout).toContain('hello pipe x1');
  });

  test.each([
    [['run', 'nope'], 3, 'there is no workflow nope; there is: ask, flaky, greet'],
    [['run', 'greet', '-n', 'nowhere'], 3, 'Workflow greet in namespace nowhere'],
    [['run', 'greet', '--input', 'who'], 2, 'not of the form name=value'],
    [['run', 'greet', '--timeout', '1s'], 2, '--timeout needs --wait'],
    [['run', 'greet', '--approve'], 2, '--approve needs --local'],
    [['run', 'greet', '--input-file', 'none.yaml'], 3, 'none.yaml cannot be read'],
    [['run', 'flaky', '--name', 'flaky-one'], 4, 'flaky-one'],
  ])('%j ends with %i', async (argv, code, message) => {
    const ended = await cli(...argv);
    expect(ended.stderr).toContain(message);
    expect(ended.code).toBe(code);
  });
});

describe('a run that waits for approval', () => {
  const name = 'ask-one';
  beforeAll(async () => {
    expect((await cli('run', 'ask', '--name', name)).code).toBe(0);
    await eventually(
      () => json<Run>('get', 'run', name),
      (run) => run.steps[0]?.phase === 'Waiting',
    );
  });

  test('--timeout gives up waiting with 6, Ctrl-C with 130, and the run goes on', async () => {
    const late = await cli('run', 'ask', '--wait', '--timeout', '100ms', '--name', 'ask-late');
    expect(late).toMatchObject({ code: 6 });
    expect(late.stderr).toContain('it goes on');
    const left = invoke(['run', 'ask', '--wait', '--name', 'ask-left'], options);
    await left.printed('to approve: windlass approve ask-left consent -n dev');
    left.interrupt();
    expect(await left.exitCode).toBe(130);
    expect(left.stderr()).toBe('run ask-left goes on; end it with: windlass cancel ask-left -n dev\n');
  });

  test('cancel records the reason, which may be left out', async () => {
    await cli('run', 'ask', '--name', 'ask-silent');
    expect((await cli('cancel', 'ask-silent')).code).toBe(0);
    expect(await cli('cancel', 'ask-left', '--reason', 'not needed')).toMatchObject({
      code: 0,
      stdout: 'run ask-left in dev is being cancelled\n',
    });
    const run = await eventually(
      () => json<Run>('get', 'run', 'ask-left'),
      (r) => r.phase === 'Cancelled',
    );
    expect(run.reason).toBe('not needed');
    expect((await cli('cancel', 'ask-left', '--reason', 'again')).code).toBe(4);
  });

  test('pause and resume', async () => {
    expect((await cli('pause', name, '--reason', 'lunch')).stdout).toBe(`run ${name} in dev is being paused\n`);
    expect((await cli('describe', 'run', name)).stdout).toContain('Paused: lunch');
    expect((await cli('resume', name)).stdout).toBe(`run ${name} in dev goes on\n`);
  });

  test('approve RUN STEP under a name, and it is told so', async () => {
    expect((await cli('get', 'steps', name)).stdout).toContain('WaitingForApproval; needs 1 more approval');
    expect((await cli('approve', name, 'nope')).code).toBe(3);
    expect((await cli('approve', name, 'act')).code).toBe(4);
    expect(await cli('approve', name)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining(`windlass approve ${name} consent -n dev`),
    });
    const approved = await cli('approve', name, 'consent', '--as', 'ada', '--comment', 'go');
    expect(approved.stdout).toBe(`step consent of run ${name} in dev approved\n`);
    await eventually(
      () => json<Run>('get', 'run', name),
      (run) => run.phase === 'Succeeded',
    );
    expect((await cli('describe', 'run', name)).stdout).toContain('consent: Approve by ada: go');
  });

  test('reject RUN STEP fails it', async () => {
    expect((await cli('reject', 'ask-late', 'consent', '--comment', 'no')).code).toBe(0);
    const run = await eventually(
      () => json<Run>('get', 'run', 'ask-late'),
      ({ phase }) => phase === 'Failed',
    );
    expect(run.steps[0]?.error?.type).toBe('approval');
  });
});

describe('logs', () => {
  test('of a run: each line after its step; of a step: as it is', async () => {
    await cli('run', 'greet', '--wait', '--name', 'greet-logs');
    expect((await cli('logs', 'greet-logs')).stdout).toBe('say | hello you\n');
    expect((await cli('logs', 'greet-logs', 'say')).stdout).toBe('hello you\n');
    expect((await cli('logs', '-f', 'greet-logs')).stdout).toBe('say | hello you\n');
  });

  test('attempts come in order; --attempt picks one', async () => {
    expect(await cli('logs', 'flaky-one', 'try')).toMatchObject({
      stdout: 'attempt 1\nattempt 2\n',
      stderr: 'attempt 1:\nattempt 2:\n',
    });
    expect((await cli('logs', 'flaky-one', 'try', '--attempt', '2')).stdout).toBe('attempt 2\n');
    expect((await cli('logs', 'flaky-one')).stdout).toBe('try | attempt 1\ntry#2 | attempt 2\n');
  });

  test('-f goes on until the run has ended, or until Ctrl-C', async () => {
    await cli('run', 'ask', '--name', 'ask-follow');
    const followed = invoke(['logs', '-f', 'ask-follow'], options);
    const broken = invoke(['logs', '-f', 'ask-follow'], options);
    const piped = invoke(['logs', '-f', 'ask-follow'], options);
    await eventually(
      () => json<Run>('get', 'run', 'ask-follow'),
      (run) => run.steps[0]?.phase === 'Waiting',
    );
    broken.interrupt();
    expect(await broken.exitCode).toBe(130);
    piped.closeStdout();
    expect(await piped.exitCode).toBe(0);
    await cli('approve', 'ask-follow', 'consent');
    expect(await followed.exitCode).toBe(0);
    expect(followed.stdout()).toBe('act | acted\n');
  });

  test('-f of a run that failed without any output says why', async () => {
    const { stdout, stderr } = await cli('logs', '-f', 'ask-late');
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^run ask-late Failed: \S/);
  });

  test.each([
    [['logs', 'nope'], 3],
    [['logs', 'greet-logs', 'nope'], 3],
    [['logs', 'greet-logs', 'say', '--attempt', '9'], 3],
    [['logs', 'greet-logs', '--attempt', '1'], 2],
    [['logs', 'greet-logs', 'say', '--attempt', 'x'], 2],
  ])('%j ends with %i', async (argv, code) => {
    expect((await cli(...argv)).code).toBe(code);
  });
});

describe('get', () => {
  test('tables', async () => {
    expect(steady((await cli('get', 'env')).stdout)).toMatchInlineSnapshot(`
      "NAME  NAMESPACE  AFTER  TRACKS  ACTIVE  WAITING  READY  AGE
      dev  dev  -  branch main  COMMIT  0  True  TIME
      prod  prod  dev  tag >=1.0.0  -  0  True  TIME
      "
    `);
    expect(
      steady((await cli('get', 'wwf', '-n', 'dev')).stdout).replace(/sha256:COMMIT/g, 'DIGEST'),
    ).toMatchInlineSnapshot(`
      "NAMESPACE  NAME  ENVIRONMENT  VERSION  DIGEST  STEPS  READY  AGE
      dev  ask  dev  COMMIT  DIGEST  2  True  TIME
      dev  flaky  dev  COMMIT  DIGEST  1  True  TIME
      dev  greet  dev  COMMIT  DIGEST  1  True  TIME
      "
    `);
    expect(steady((await cli('get', 'run', 'flaky-one')).stdout)).toMatchInlineSnapshot(`
      "NAMESPACE  NAME  WORKFLOW  VERSION  PHASE  DURATION  AGE  REASON
      dev  flaky-one  flaky  COMMIT  Failed  TIME  TIME  step try: exit code 3: attempt 2
      "
    `);
    expect(steady((await cli('get', 'steps', 'flaky-one')).stdout)).toMatchInlineSnapshot(`
      "STEP  KIND  PHASE  ATTEMPTS  DURATION  AGE  REASON
      try  run  Failed  2  TIME  TIME  exit: exit code 3: attempt 2
      "
    `);
    expect(steady((await cli('get', 'sources')).stdout).replace(repository.url, 'URL')).toMatchInlineSnapshot(`
      "NAME  URL  BRANCH  PATH  COMMIT  REFUSED  READY
      repo  URL  main  workflows  COMMIT  0  True
      "
    `);
  });

  test('runs by every filter', async () => {
    const names = async (...argv: string[]) =>
      (await json<{ items: RunSummary[] }>('get', 'runs', ...argv)).items.map((run) => run.name);
    expect(await names('--failed', '--since', '1d', '--workflow', 'flaky')).toEqual(['flaky-one']);
    expect(await names('--phase', 'Cancelled')).toEqual(['ask-silent', 'ask-left']);
    expect(await names('--phase', 'Cancelled', 'Failed', '--environment', 'dev', '--workflow', 'ask')).toEqual([
      'ask-silent',
      'ask-left',
      'ask-late',
    ]);
    expect(await names('-n', 'nowhere')).toEqual([]);
    expect(await names('--since', '2100-01-01T00:00:00Z')).toEqual([]);
    const limited = await cli('get', 'runs', '--limit', '1');
    expect(limited.stdout.trimEnd().split('\n')).toHaveLength(2);
    expect(limited.stderr).toContain('--limit');
  });

  test('-o yaml says the same as -o json', async () => {
    const asYaml = parse((await cli('get', 'env', 'prod', '-o', 'yaml')).stdout) as object;
    expect(asYaml).toEqual(await json<object>('get', 'env', 'prod'));
  });

  test('--object is what apply takes back', async () => {
    const { stdout } = await cli('get', 'env', 'prod', '--object');
    await writeFile(join(repository.work, 'prod.json'), stdout);
    expect(parse(stdout)).toMatchObject({ kind: 'Environment', metadata: { name: 'prod', namespace: 'default' } });
  });

  test('versions and events, newest last', async () => {
    expect((await cli('get', 'versions', '--workflow', 'greet')).stdout).toMatch(/^WORKFLOW.*\ngreet .*\n$/);
    const { stdout } = await cli('get', 'events', '--limit', '2');
    expect(stdout.trimEnd().split('\n')).toHaveLength(3);
    const inDev = await json<{ items: { reason: string }[] }>('get', 'events', '-n', 'dev', '--limit', '500');
    expect(inDev.items[0]?.reason).toBe('RunStarted');
  });

  test('nothing found is said on stderr', async () => {
    expect(await cli('get', 'runs', '-n', 'nowhere')).toEqual({ code: 0, stdout: '', stderr: 'nothing found\n' });
  });

  test('-w prints what changes until Ctrl-C', async () => {
    const watched = invoke(['get', 'runs', '--workflow', 'greet', '-w'], options);
    await watched.printed('greet-logs');
    await cli('run', 'greet', '--name', 'greet-watched');
    await watched.printed(/greet-watched .* Succeeded/);
    watched.interrupt();
    expect(await watched.exitCode).toBe(130);
    expect(watched.stdout().match(/^NAMESPACE/gm)).toHaveLength(1);
  });

  test.each([
    [['get', 'nope'], 2, 'there is no kind "nope"'],
    [['get', 'rans'], 2, 'did you mean runs?'],
    [['get', 'env', 'nope'], 3, 'nope'],
    [['get', 'source', 'nope'], 3, 'there is: repo'],
    [['get', 'steps'], 2, 'of which run'],
    [['get', 'versions', 'x'], 2, 'no names'],
    [['get', 'environments', '--failed'], 2, '--failed means nothing'],
    [['get', 'promotions', '-n', 'team'], 2, '--project team'],
    [['get', 'runs', '--since', 'yesterday'], 2, 'since'],
    [['get', 'runs', '--limit', '0'], 2, 'whole number'],
    [['get', 'runs', '-o', 'xml'], 2, 'Allowed choices'],
  ])('%j ends with %i', async (argv, code, message) => {
    const ended = await cli(...argv);
    expect(ended.stderr).toContain(message);
    expect(ended.code).toBe(code);
  });
});

describe('describe', () => {
  test('a failed run: attempts with their errors, conditions and events', async () => {
    const { stdout } = await cli('describe', 'run', 'flaky-one');
    expect(steady(stdout)).toMatch(
      /Attempts:\n {2}STEP {2}ATTEMPT {2}PHASE {2}DURATION {2}ERROR\n {2}try {2}1 {2}Failed {2}TIME {2}exit: exit code 3.*\n {2}try {2}2/,
    );
    expect(stdout).toMatch(/Conditions:[\s\S]*Succeeded +False +Failed/);
    expect(stdout).toMatch(/Events:[\s\S]*RunFailed/);
  });

  test('environment, workflow and source', async () => {
    expect((await cli('describe', 'env', 'prod')).stdout).toContain('approval:');
    expect((await cli('describe', 'workflow', 'greet')).stdout).toMatch(/Latest runs:[\s\S]*greet-logs/);
    expect((await cli('describe', 'source', 'repo')).stdout).toContain(repository.url);
  });

  test('what has no description', async () => {
    expect((await cli('describe', 'events', 'x')).code).toBe(2);
    expect((await cli('describe', 'env', 'nope')).code).toBe(3);
  });
});

describe('promotions', () => {
  test('a tag waits for approval; approve --as lets it in', async () => {
    await repository.tag('v1.0.0');
    const gating = await eventually(
      () => json<{ items: { name: string; phase: string }[] }>('get', 'promotions', '--environment', 'prod'),
      ({ items }) => items[0]?.phase === 'Gating',
    );
    const name = gating.items[0]?.name ?? '';
    const described = (await cli('describe', 'promotion', name)).stdout;
    expect(described).toMatch(/Gates:[\s\S]*approval +no/);
    expect(described).toMatch(/Changes:[\s\S]*greet +Promote +- +sha256:/);
    expect((await cli('promote', 'prod', 'v1.0.0')).code).toBe(4);
    expect((await cli('approve', name, '--as', 'grace', '--comment', 'ok')).stdout).toBe(
      `promotion ${name} approved\n`,
    );
    await eventually(
      () => json<{ phase: string }>('get', 'promotion', name),
      (p) => p.phase === 'Succeeded',
    );
    expect((await cli('describe', 'promotion', name)).stdout).toContain('Approve by grace: ok');
  });

  test('a run goes to the first environment unless told otherwise', async () => {
    await eventually(
      () => json<Page<{ namespace: string }>>('get', 'wwf'),
      ({ items }) => items.some((w) => w.namespace === 'prod'),
    );
    expect((await cli('run', 'greet')).stdout).toContain(' created in dev;');
    expect((await cli('run', 'greet', '-n', 'prod')).stdout).toContain(' created in prod;');
    expect((await cli('get', 'workflow', 'greet')).stderr).toContain('is in namespaces dev, prod; say which with -n');
  });

  test('promote asks, reject ends it', async () => {
    await repository.tag('v0.9.0');
    await cli('get', 'sources');
    const asked = await eventually(
      () => cli('promote', 'prod', 'v0.9.0'),
      ({ code }) => code === 0,
    );
    expect(asked.stdout).toMatch(/^promotion \S+ created/);
    expect((await cli('promote', 'nope', 'v1.0.0')).code).toBe(3);
    expect((await cli('reject', 'nope')).code).toBe(3);
  });
});

describe('apply and delete', () => {
  const yaml = `apiVersion: windlass.dev/v1alpha1
kind: Workflow
metadata: { name: applied }
spec: { steps: [{ name: a, run: echo applied }] }
`;
  test('a file: created, unchanged, configured; then it runs in its namespace', async () => {
    const file = join(root, 'applied.yaml');
    await writeFile(file, yaml);
    expect((await cli('apply', '-f', file, '-n', 'mine')).stdout).toBe('workflow/applied created in mine\n');
    expect((await cli('apply', '-f', file, '-n', 'mine')).stdout).toBe('workflow/applied unchanged in mine\n');
    await writeFile(file, yaml.replace('echo applied', 'echo again'));
    expect((await cli('apply', '-f', file, '-n', 'mine')).stdout).toBe('workflow/applied configured in mine\n');
    expect((await cli('run', 'applied', '--wait')).code).toBe(0);
    expect((await cli('delete', '-f', file, '-n', 'mine')).stdout).toBe('workflow/applied deleted from mine\n');
    expect((await cli('delete', 'workflow', 'applied', '-n', 'mine')).code).toBe(3);
  });

  test('standard input and generateName', async () => {
    const stdin = `apiVersion: windlass.dev/v1alpha1\nkind: WorkflowRun\nmetadata: { generateName: made-, namespace: dev }\nspec: { workflow: greet }\n`;
    const { stdout } = await windlass(['apply', '-f', '-'], { ...options, stdin });
    expect(stdout).toMatch(/^workflowrun\/made-\w+ created in dev\n$/);
    const name = /made-\w+/.exec(stdout)?.[0] ?? '';
    expect((await cli('delete', 'wrun', name)).stdout).toBe(`workflowrun/${name} deleted from dev\n`);
    expect((await json<Run>('get', 'run', name)).name).toBe(name);
  });

  test('one mistake and nothing is done', async () => {
    const stdin = `${yaml}---\n${yaml.replace('name: applied', 'name: other').replace('steps:', 'stepz:')}`;
    const { code, stdout, stderr } = await windlass(['apply', '-f', '-'], { ...options, stdin });
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/stdin:9:9: error: unknown field "stepz"/);
    expect((await cli('get', 'workflow', 'applied')).code).toBe(3);
  });

  test.each([
    [['apply'], 2],
    [['apply', '-f', 'none.yaml'], 3],
    [['apply', '-f', 'inputs.yaml'], 3],
    [['delete', 'workflow'], 2],
    [['delete'], 2],
    [['delete', 'events', 'x'], 2],
    [['delete', 'run', 'nope'], 3],
  ])('%j ends with %i', async (argv, code) => {
    expect((await cli(...argv)).code).toBe(code);
  });
});

test('a step that some have approved says how many more it needs', async () => {
  const spec = 'spec: { steps: [{ name: consent, approval: { groups: [owners], count: 2 } }] }';
  const stdin = `apiVersion: windlass.dev/v1alpha1\nkind: Workflow\nmetadata: { name: two }\n${spec}\n`;
  expect((await windlass(['apply', '-f', '-', '-n', 'mine'], { ...options, stdin })).code).toBe(0);
  await cli('run', 'two', '-n', 'mine', '--name', 'two-ask');
  const needs = async (...argv: string[]) => /needs [^\n]*/.exec((await cli(...argv, '-n', 'mine')).stdout)?.[0];
  await eventually(
    () => needs('get', 'steps', 'two-ask'),
    (said) => said === 'needs 2 more approvals of groups owners',
  );
  expect((await cli('approve', 'two-ask', 'consent', '--as', 'ada', '-n', 'mine')).code).toBe(0);
  expect(await needs('get', 'steps', 'two-ask')).toBe('needs 1 more approval of groups owners');
  expect(await needs('describe', 'run', 'two-ask')).toBe('needs 1 more approval of groups owners');
  expect((await cli('cancel', 'two-ask', '-n', 'mine')).code).toBe(0);
  expect((await cli('delete', 'workflow', 'two', '-n', 'mine')).code).toBe(0);
});

test('what is retried is asked for anew, and may be approved now', async () => {
  await cli('run', 'ask', '--name', 'ask-anew');
  await eventually(
    () => json<Run>('get', 'run', 'ask-anew'),
    ({ steps }) => steps[0]?.phase === 'Waiting',
  );
  await cli('reject', 'ask-anew', 'consent');
  await eventually(
    () => json<Run>('get', 'run', 'ask-anew'),
    ({ phase }) => phase === 'Failed',
  );
  expect((await cli('retry', 'ask-anew')).code).toBe(0);
  await eventually(
    () => json<Run>('get', 'run', 'ask-anew'),
    ({ steps }) => steps[0]?.phase === 'Waiting',
  );
  expect((await cli('approve', 'ask-anew', 'consent')).code).toBe(0);
  await eventually(
    () => json<Run>('get', 'run', 'ask-anew'),
    ({ phase }) => phase === 'Succeeded',
  );
  // The approval was of that execution alone.
  expect((await cli('retry', 'ask-anew', '--from', 'consent')).code).toBe(0);
  const again = await eventually(
    () => json<Run>('get', 'run', 'ask-anew'),
    ({ execution, steps, phase }) => execution === 3 && (phase === 'Succeeded' || steps[0]?.phase === 'Waiting'),
  );
  expect(again.steps[0]?.phase).toBe('Waiting');
});
