import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startOf } from '../controller/executors/process/processes.ts';
import { invoke, windlass } from '../test/fixtures/cli.ts';
import { exitCodeMeanings } from './exit.ts';
import { cliReference } from './reference.ts';

const head = 'apiVersion: windlass.dev/v1alpha1\nkind: Workflow\n';
let root = '';
const cli = (...argv: string[]) => windlass(argv, { cwd: root });

async function write(files: Record<string, string>): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
}

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'windlass-offline-'));
});
afterAll(async () => {
  await rm(root, { recursive: true, force: true });
});

describe('usage', () => {
  test('--help names every command and every exit code', async () => {
    const { code, stdout } = await cli('--help');
    expect(code).toBe(0);
    const wanted =
      'up apply delete get describe run logs cancel pause resume promote approve reject lint controller version completion';
    for (const command of wanted.split(' ')) expect(stdout).toMatch(new RegExp(`^  ${command}\\b`, 'm'));
    for (const [exitCode, meaning] of exitCodeMeanings)
      expect(stdout).toContain(`  ${String(exitCode).padEnd(4)} ${meaning}`);
  });

  test.each([
    [[], 2, 'Usage: windlass'],
    [['gett'], 2, 'Did you mean get?'],
    [['run'], 2, "missing required argument 'workflow'"],
    [['get', 'runs', '--bogus'], 2, "unknown option '--bogus'"],
    [['get', 'runs'], 5, 'Start one with `windlass up`'],
    [['get', 'runs', '--server', 'http://127.0.0.1:1'], 5, 'no controller answers at http://127.0.0.1:1 ('],
    [['get', 'runs', '--server', 'nonsense'], 2, 'is not a URL'],
    [['get', 'runs', '--context', 'a', '--server', 'http://127.0.0.1:1'], 2, 'give --server, or --context'],
    [['get', 'runs', '--kubeconfig', 'none.yaml'], 2, 'the kubeconfig none.yaml cannot be read'],
    [['controller'], 2, 'DATABASE_URL must say which Postgres keeps the history'],
    [['controller', '--namespaces', 'dev,Prod'], 2, '"Prod" is not the name of a namespace'],
    [['controller', '--run-ttl', 'soon'], 2, 'It must be a duration such as 30m'],
    [['controller', '--step-image', 'busybox 1'], 2, '"busybox 1" is not the name of an image'],
    [['controller', '--run-history', '-1'], 2, 'It must be a number from 0'],
  ])('%j ends with %i', async (argv, code, message) => {
    const ended = await cli(...argv);
    expect(ended.stderr).toContain(message);
    expect(ended.code).toBe(code);
  });

  test.each([
    ['with nothing else, a cluster', [], {}, 'the kubeconfig of-env cannot be read'],
    ['beside a server, nothing', [], { WINDLASS_SERVER: 'http://127.0.0.1:1' }, 'no controller answers at'],
    ['beside another kubeconfig, nothing', ['--kubeconfig', 'mine'], {}, 'the kubeconfig mine cannot be read'],
  ])('$KUBECONFIG means %s', async (_, options, env, message) => {
    const ended = await windlass(['get', 'runs', ...options], { cwd: root, env: { KUBECONFIG: 'of-env', ...env } });
    expect(ended.stderr).toContain(message);
  });

  test('a controller without a cluster says how to find one', async () => {
    const env = { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none' };
    const ended = await windlass(['controller'], { cwd: root, env });
    expect(ended).toMatchObject({ code: 2, stderr: expect.stringContaining('and KUBECONFIG is not set') });
  });

  test('version needs no controller', async () => {
    expect(await cli('version')).toMatchObject({ code: 0, stderr: '' });
    expect((await cli('--version')).code).toBe(0);
  });

  test('the reference holds every command and option', () => {
    const text = cliReference();
    for (const part of ['## windlass up', '`--repo <path-or-url>`', '## windlass completion', '| 130 |']) {
      expect(text).toContain(part);
    }
  });
});

describe('lint', () => {
  const good = `${head}metadata: { name: good }\nspec: { steps: [{ name: a, run: "true" }] }\n`;
  const bad = `${head}metadata: { name: bad }\nspec:\n  steps:\n    - name: a\n      needs: [b]\n      run: "true"\n`;
  const stage =
    'apiVersion: windlass.dev/v1alpha1\nkind: Environment\nmetadata: { name: dev }\nspec: { source: { name: repo }, track: {} }\n';
  beforeAll(async () => {
    await write({
      'fine/workflows/good.yaml': good,
      'fine/other/bad.yaml': bad,
      'wrong/workflows/bad.yaml': bad,
      'wrong/environments/dev.yaml': stage,
      'loose/a.yaml': good,
      'loose/b.yml': bad,
      'files/wf.yaml': `${head}metadata: { name: files }\nspec: { files: [none.sh], steps: [{ name: a, run: "true" }] }\n`,
      'empty/readme.md': '',
      'other.yaml': 'kind: Deployment\napiVersion: apps/v1\n',
      'broken.yaml': 'a: [\n',
    });
  });

  test('a repository folder: workflows and environments of it, and nothing else', async () => {
    expect(await cli('lint', 'fine')).toEqual({ code: 0, stdout: '', stderr: 'no errors, no warnings\n' });
    const wrong = await cli('lint', 'wrong');
    expect(wrong.code).toBe(1);
    expect(wrong.stdout).toMatch(/^wrong\/environments\/dev\.yaml:4:\d+: error: .* \[\S+\]$/m);
    expect(wrong.stdout).toMatch(/^wrong\/workflows\/bad\.yaml:7:\d+: error: .*"b".* \[needs-unknown-step\]$/m);
    expect(wrong.stderr).toBe('2 errors, no warnings\n');
  });

  test('another folder is read whole, a file by itself, with the files it names', async () => {
    expect((await cli('lint', 'loose')).stdout).toMatch(/^loose\/b\.yml:7:\d+: error:/);
    expect((await cli('lint', 'loose/a.yaml')).code).toBe(0);
    expect((await cli('lint', 'files/wf.yaml')).stdout).toContain('[files-no-match]');
    expect((await cli('lint', 'broken.yaml')).code).toBe(1);
  });

  test('-o json is the list of diagnostics', async () => {
    const { code, stdout } = await cli('lint', 'loose', '-o', 'json');
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject([
      { file: 'loose/b.yml', line: 7, severity: 'error', rule: 'needs-unknown-step' },
    ]);
  });

  test.each([['empty'], ['nowhere'], ['other.yaml']])('%s has nothing to check: 3', async (path) => {
    expect((await cli('lint', path)).code).toBe(3);
  });
});

describe('run --local', () => {
  beforeAll(async () => {
    await write({
      'local/wf.yaml': `${head}metadata: { name: local }
spec:
  files: [greet.sh, "text/*.j2"]
  inputs: { who: { type: string }, amount: { type: integer, default: 1 } }
  outputs: { text: "\${{ steps.render.outputs.text }}" }
  steps:
    - name: greet
      run: sh ./greet.sh; echo "code=$(printf %s "$CODE" | wc -c)"
      env: { WHO: "\${{ inputs.who }}" }
      secrets: { CODE: { name: door, key: code } }
    - name: ask
      needs: [greet]
      approval: { groups: [owners], count: 2 }
    - name: render
      needs: [ask]
      template: { file: text/a.j2, vars: { amount: "\${{ inputs.amount }}", where: "\${{ environment.where }}" } }
`,
      'local/greet.sh': 'echo "hello $WHO"\n',
      'local/text/a.j2': '{{ amount }} {{ where }}',
      'fails.yaml': `${head}metadata: { name: fails }\nspec: { steps: [{ name: a, run: exit 4 }], finally: [{ name: z, run: echo finally }] }\n`,
      'weak.yaml': `${head}metadata: { name: weak }\nspec: { steps: [{ name: a, run: exit 4, criticality: low }] }\n`,
      'slow.yaml': `${head}metadata: { name: slow }\nspec: { steps: [{ name: a, run: echo began; sleep 60 }], finally: [{ name: z, run: echo cleaned }] }\n`,
      'stuck.yaml': `${head}metadata: { name: stuck }\nspec: { steps: [{ name: a, run: "trap '' TERM; echo $$ > ${root}/pid; echo began; while :; do sleep 1; done" }] }\n`,
      '.windlass/secrets/default/door/code': '1234\n',
    });
    await chmod(join(root, '.windlass/secrets/default/door/code'), 0o600);
  });
  const argv = [
    'run',
    '--local',
    'local/wf.yaml',
    '--input',
    'who=7',
    '--input',
    'amount=2',
    '--value',
    'where=here',
    '--approve',
  ];

  test('runs a file with its files, secrets and values, and shows steps and output', async () => {
    const { code, stdout } = await cli(...argv);
    expect(stdout).toContain('greet | hello 7\ngreet | code=4\n');
    expect(stdout).toMatch(/ask Succeeded/);
    expect(stdout).toMatch(/local-local Succeeded after \S+\noutputs:\n {2}text: 2 here\n$/);
    expect(code).toBe(0);
  });

  test('-o json is the run, and nothing else is on stdout', async () => {
    const { stdout, stderr } = await cli(...argv, '-o', 'json');
    expect(JSON.parse(stdout)).toMatchObject({
      phase: 'Succeeded',
      outputs: { text: '2 here' },
      steps: [{ name: 'greet' }, {}, {}],
    });
    expect(stderr).toContain('greet | hello 7');
  });

  test('a Degraded run ends with 0', async () => {
    const { code, stdout } = await cli('run', '--local', 'weak.yaml');
    expect(stdout).toMatch(/^weak-local Degraded after /m);
    expect(code).toBe(0);
  });

  test('a failed run ends with 1, its finally steps run', async () => {
    const { code, stdout } = await cli('run', '--local', 'fails.yaml');
    expect(stdout).toContain('z | finally');
    expect(stdout).toMatch(/fails-local Failed after \S+: step a: exit code 4/);
    expect(code).toBe(1);
  });

  test('Ctrl-C cancels it, a second one ends at once; no process stays', async () => {
    const slow = invoke(['run', '--local', 'slow.yaml'], { cwd: root });
    await slow.printed('a | began');
    slow.interrupt();
    expect(await slow.exitCode).toBe(130);
    expect(slow.stdout()).toContain('z | cleaned');
    const stuck = invoke(['run', '--local', 'stuck.yaml'], { cwd: root });
    await stuck.printed('a | began');
    stuck.interrupt();
    stuck.interrupt();
    expect(await stuck.exitCode).toBe(130);
    const pid = Number(await readFile(join(root, 'pid'), 'utf8'));
    // When whoever inherits its zombie asks for it is not ours to say.
    await expect.poll(() => startOf(pid), { timeout: 20_000 }).toBeNull();
  });

  test.each([
    [['local/wf.yaml'], 2, 'add --approve'],
    [['local/wf.yaml', '--approve'], 2, 'who'],
    [['local/wf.yaml', '--approve', '-i', 'who=x', '-i', 'amount=many'], 2, 'amount'],
    [['fails.yaml', '--wait'], 2, '--wait does not go with --local'],
    [['none.yaml'], 3, 'there is no file none.yaml'],
    [['broken.yaml'], 1, 'broken.yaml cannot be run as it is'],
    [['other.yaml'], 3, 'there is no workflow in other.yaml'],
    [['loose'], 1, 'loose/b.yml:7'],
  ])('%j ends with %i', async (rest, code, message) => {
    const ended = await cli('run', '--local', ...rest);
    expect(ended.stderr).toContain(message);
    expect(ended.code).toBe(code);
  });
});

describe('completion', () => {
  const execute = promisify(execFile);
  /** What bash offers for the last word. */
  async function complete(...words: string[]): Promise<string[]> {
    const { stdout: script } = await cli('completion', 'bash');
    const quoted = ['windlass', ...words].map((word) => `'${word}'`).join(' ');
    const program = `${script}\nCOMP_WORDS=(${quoted}); COMP_CWORD=${words.length}; _windlass; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout } = await execute('bash', ['--norc', '-c', program]);
    return stdout.split('\n').filter((line) => line !== '');
  }

  test.each([
    [['re'], ['resume', 'retry', 'replay', 'redrive', 'reject']],
    [['get', 'r'], ['runs']],
    [['--server', 'http://x', 'get', 'r'], ['runs']],
    [['get', '-n', 'dev', 'env'], ['environments']],
    [['get', 'runs', ''], []],
    [['get', 'runs', '--fa'], ['--failed']],
    [
      ['get', 'runs', '-o', ''],
      ['table', 'json', 'yaml'],
    ],
    [['get', 'runs', '--output', 'j'], ['json']],
    [['describe', 'p'], ['promotions']],
    [
      ['completion', ''],
      ['bash', 'zsh', 'fish'],
    ],
    [['apply', '-f', ''], []],
    [['--ver'], ['--version']],
  ])('bash: %j offers %j', async (words, offered) => {
    expect(await complete(...words)).toEqual(offered);
  });

  test.each(['zsh', 'fish'])('%s: every command and flag is in it, and the shell can read it', async (shell) => {
    const { stdout } = await cli('completion', shell);
    for (const word of ['promote', 'environments', 'attempt', 'table json yaml']) expect(stdout).toContain(word);
    const found = await execute(shell, ['--version']).then(
      () => true,
      () => false,
    );
    if (found) {
      await write({ [`completion.${shell}`]: stdout });
      await execute(shell, ['-n', join(root, `completion.${shell}`)]);
    }
  });

  test('an unknown shell is wrong usage', async () => {
    expect((await cli('completion', 'tcsh')).code).toBe(2);
  });
});
