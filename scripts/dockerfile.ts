/** What the last stage of a Dockerfile adds to its base image. */
export interface DockerImage {
  base: string;
  /** In order; `target` from the image's root. `from`: the stage that the sources are of, null for the repository. */
  copies: { from: string | null; sources: string[]; target: string }[];
  /** Lines added to /etc/passwd and /etc/group. */
  accounts: { name: 'passwd' | 'group'; line: string }[];
  /** Names of files that are removed from the installed packages. */
  removed: string[];
  settings: { entrypoint: string[]; cmd: string[]; workdir: string; user: string; env: string[] };
}

/** Reads the few instructions that this repository's Dockerfile uses. @throws on one that is not known here */
export function readDockerfile(text: string): DockerImage {
  const lines = text
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll(/\\\n\s*/g, ' ')
    .split('\n')
    .filter((line) => line.trim() !== '');
  const last = lines.findLastIndex((line) => line.startsWith('FROM '));
  const image: DockerImage = {
    base: '',
    copies: [],
    accounts: [],
    removed: [...text.matchAll(/-name '([^']+)'/g)].map(([, pattern]) => String(pattern)),
    settings: { entrypoint: [], cmd: [], workdir: '/', user: '', env: [] },
  };
  const { settings } = image;
  for (const line of lines.slice(last)) {
    const [instruction = '', ...words] = line.split(/\s+/);
    const rest = words.join(' ');
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

function readCopy(words: string[], workdir: string): DockerImage['copies'][number] {
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
