import { readYaml } from '../parse/yaml.ts';

/** Which user is behind a git address, as an administrator says. */
export interface Identities {
  /** By the address in lower case; names of users as they are written. */
  users: ReadonlyMap<string, string>;
  /** What is wrong with the table, or null. Nobody is told apart by a table with a mistake. */
  problem: string | null;
}

/** Where the table is: a ConfigMap in the project's namespace. */
export const identityTableName = 'windlass-identities';

/** Reads the texts of the table, each a YAML map from git address to user name. Never throws. */
export function readIdentities(texts: Readonly<Record<string, string>>): Identities {
  const users = new Map<string, string>();
  const problems: string[] = [];
  for (const [key, text] of Object.entries(texts).toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    const { documents, syntax } = readYaml(text);
    const wrong = [...syntax, ...documents.flatMap((document) => document.problems)][0];
    if (wrong) problems.push(`${key}: ${wrong.message}`);
    for (const { value } of wrong ? [] : documents) {
      if (value === null) continue;
      if (typeof value !== 'object' || Array.isArray(value)) {
        problems.push(`${key}: it must be a map such as "ada@example.com: ada"`);
        continue;
      }
      for (const [address, user] of Object.entries(value)) {
        const known = users.get(fold(address));
        if (typeof user !== 'string' || user.trim() === '')
          problems.push(`${key}: ${address} must be the name of a user`);
        else if (known !== undefined && fold(known) !== fold(user))
          problems.push(`${key}: ${address} is both ${known} and ${user}`);
        else users.set(fold(address), user);
      }
    }
  }
  return { users, problem: problems.length === 0 ? null : problems.slice(0, 5).join('; ') };
}

/** Names of people and addresses are compared without regard to case. */
export function fold(name: string): string {
  return name.trim().toLowerCase();
}
