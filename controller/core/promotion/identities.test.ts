import { expect, test } from 'vitest';
import { readIdentities } from './identities.ts';

test('every text of the table is read, addresses without regard to case', () => {
  const { users, problem } = readIdentities({
    team: 'Ada@Example.com: ada\nbob@example.com: bob',
    bots: '# none\n',
    more: 'ada@example.com: ADA',
  });
  expect(problem).toBeNull();
  expect(users.get('ada@example.com')?.toLowerCase()).toBe('ada');
  expect(users.get('bob@example.com')).toBe('bob');
  expect(users.size).toBe(2);
});

test.each([
  ['a: [b', 'team: '],
  ['- ada', 'team: it must be a map'],
  ['ada@example.com: 5', 'ada@example.com must be the name of a user'],
  ['ada@example.com: ""', 'ada@example.com must be the name of a user'],
  ['ada@example.com: ada\nADA@example.com: bob', 'is both ada and bob'],
])('%j is a mistake and said', (text, message) => {
  expect(readIdentities({ team: text }).problem).toContain(message);
});
