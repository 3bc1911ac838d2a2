/** What is copied into an image: `target` from its root. `from`: the stage that the sources are of, null for the repository. */
export interface Copy {
  from: string | null;
  sources: string[];
  target: string;
}

/** What the last stage of a Dockerfile adds to its base image, and the stages before it that it copies from. */
export interface DockerImage {
  base: string;
  copies: Copy[];
  /** Lines added to /etc/passwd and /etc/group. */
  accounts: { name: 'passwd' | 'group'; line: string }[];
  settings: { entrypoint: string[]; cmd: string[]; workdir: string; user: string; env: string[] };
  /** What has a name: its copies, and then its commands, which run in `workdir`. */
  stages: Record<string, { workdir: string; copies: Copy[]; commands: string[] }>;
}

/** Reads the few instructions that this repository's Dockerfile uses. @throws on one that is not known here */
export function readDockerfile(text: string): DockerImage {
  const instructions = text
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll(/\\\n\s*/g, ' ')
    .split('\n')
    .filter((line) => line.trim() !== '');
  const last = instructions.findLastIndex((line) => line.startsWith('FROM '));
  const image: DockerImage = {
    base: '',
    copies: [],
    accounts: [],
    settings: { entrypoint: [], cmd: [], workdir: '/', user: '', env: [] },
    stages: readStages(instructions.slice(0, last)),
  };
  const { settings } = image;
  for (const line of instructions.slice(last)) {
    const { instruction, words, rest } = split(line);
    if (instruction === 'FROM') image.base = rest;
    else if (instruction === 'WORKDIR') settings.workdir = rest;
    else if (instruction === 'USER') settings.user = rest;
    else if (instruction === 'ENV') settings.env.push(rest);
    else if (instruction === 'ENTRYPOINT') settings.entrypoint = JSON.parse(rest) as string[];
    else if (instruction === 'CMD') settings.cmd = JSON.parse(rest) as string[];
    else if (instruction === 'COPY') image.copies.push(readCopy(words, settings.workdir));
    else if (instruction === 'RUN') image.accounts.push(...readAccounts(rest));
    else if (instruction !== 'EXPOSE') throw new Error(`the instruction ${instruction} is not known here`);
  }
  return image;
}

function readStages(instructions: string[]): DockerImage['stages'] {
  const stages: DockerImage['stages'] = {};
  let stage: DockerImage['stages'][string] = { workdir: '/', copies: [], commands: [] };
  for (const line of instructions) {
    const { instruction, words, rest } = split(line);
    if (instruction === 'FROM') {
      stage = { workdir: '/', copies: [], commands: [] };
      stages[words[2] ?? ''] = stage;
    } else if (instruction === 'WORKDIR') stage.workdir = rest;
    else if (instruction === 'COPY') stage.copies.push(readCopy(words, stage.workdir));
    else if (instruction === 'RUN') stage.commands.push(rest);
    else throw new Error(`the instruction ${instruction} is not known here`);
  }
  return stages;
}

function split(line: string): { instruction: string; words: string[]; rest: string } {
  const [instruction = '', ...words] = line.split(/\s+/);
  return { instruction, words, rest: words.join(' ') };
}

function readCopy(words: string[], workdir: string): Copy {
  const from = words[0]?.startsWith('--from=') ? words[0].slice('--from='.length) : null;
  const sources = words.slice(from === null ? 0 : 1, -1);
  return { from, sources, target: `${workdir}/${words.at(-1)}` };
}

function readAccounts(command: string): DockerImage['accounts'] {
  return [...command.matchAll(/echo '([^']+)' >>\/etc\/(passwd|group)/g)].map(([, line, name]) => ({
    name: name === 'group' ? 'group' : 'passwd',
    line: String(line),
  }));
}
