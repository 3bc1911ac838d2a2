interface Locked {
  version?: string;
  dev?: boolean;
  optional?: boolean;
  os?: string[] | string;
  cpu?: string[] | string;
  libc?: string[];
  optionalDependencies?: Record<string, string>;
}
interface Lockfile {
  packages: Record<string, Locked>;
}

const systems = ['android', 'darwin', 'freebsd', 'linux', 'openharmony', 'win32'];
const processors = ['arm64', 'arm', 'ia32', 'ppc64', 'riscv64', 's390x', 'x64'];

/**
 * Completes a package-lock.json by the optional packages of other platforms that the registry did not offer when it was
 * written. npm 11 refuses to install from a lockfile without them, though it would skip each by its platform.
 */
export function completeLockfile(text: string): string {
  const lockfile = JSON.parse(text) as Lockfile;
  const { packages } = lockfile;
  for (const [path, entry] of Object.entries(packages)) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      const hoisted = `node_modules/${name}`;
      if (packages[hoisted] || packages[`${path}/${hoisted}`]) continue;
      packages[hoisted] = { version, ...platformOf(name), ...(entry.dev ? { dev: true } : {}), optional: true };
    }
  }
  const [[root, project] = ['', {}], ...others] = Object.entries(packages);
  const sorted = others.toSorted(([a], [b]) => a.localeCompare(b, 'en'));
  return `${JSON.stringify({ ...lockfile, packages: Object.fromEntries([[root, project], ...sorted]) }, null, 2)}\n`;
}

/** `@biomejs/cli-linux-arm64-musl` → linux, arm64, musl. @throws when a name says no platform: it would be installed everywhere */
function platformOf(name: string): Pick<Locked, 'os' | 'cpu' | 'libc'> {
  const words = name.split(/[-/]/);
  const os = systems.find((system) => words.includes(system));
  const cpu = processors.find((processor) => words.includes(processor));
  if (!os || !cpu)
    throw new Error(`${name} is not in package-lock.json, and its name says no platform; install it once`);
  const libc = words.includes('musl') || words.includes('musleabihf') ? ['musl'] : [];
  return { cpu: [cpu], ...(os === 'linux' ? { libc: libc.length > 0 ? libc : ['glibc'] } : {}), os: [os] };
}
