/** What a machine is called by: its name, and the addresses of its interfaces. */
export interface Machine {
  name: string;
  addresses: readonly string[];
}

const loopback = ['127.0.0.1', 'localhost', '[::1]'];
/** Every address of the machine, and where it is reached itself. */
const wildcards: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '[::]': '[::1]' };

/** The Host headers that a server may be called by which listens on `host`, a name or an address. */
export function hostsOf(host: string, machine: Machine): string[] {
  const written = hostOfUrl(host);
  if (wildcards[written] === undefined) return [...new Set([...loopback, written])];
  // Names only that no page of another site can be given: an address cannot be rebound.
  const addresses = machine.addresses.filter((address) => !address.includes('%') && !/^fe80:/i.test(address));
  return [...new Set([...loopback, machine.name, ...addresses.map(hostOfUrl)])];
}

/** Where a server that listens on `host` is reached on its own machine, as a URL has it. */
export function reachableHost(host: string): string {
  const written = hostOfUrl(host);
  return wildcards[written] ?? written;
}

/** As it stands in a URL: `::1` in brackets, 0 as 0.0.0.0, letters small. */
function hostOfUrl(host: string): string {
  const written = host.includes(':') ? `[${host}]` : host;
  const url = `http://${written}/`;
  return URL.canParse(url) ? new URL(url).hostname : written;
}
