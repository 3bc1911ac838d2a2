import { expect, test } from 'vitest';
import { databaseAway, databaseHost } from './root-cause.ts';

const failed = (code: string, message: string) =>
  new Error('Failed query: select 1', { cause: Object.assign(new Error(message), { code }) });

test.each([
  ['CONNECTION_DESTROYED', 'write CONNECTION_DESTROYED db:5432'],
  ['CONNECTION_CLOSED', 'write CONNECTION_CLOSED db:5432'],
  ['CONNECT_TIMEOUT', 'write CONNECT_TIMEOUT db:5432'],
  ['ECONNREFUSED', 'connect ECONNREFUSED 10.0.0.7:5432'],
  ['ECONNRESET', 'read ECONNRESET'],
  ['ENOTFOUND', 'getaddrinfo ENOTFOUND db'],
  ['57P01', 'terminating connection due to administrator command'],
  ['57P03', 'the database system is starting up'],
])('an outage is one reason, whatever the driver says: %s', (code, message) => {
  const said = 'the database at db:5432 does not answer; runs go on by themselves when it is back';
  expect(databaseAway(failed(code, message), 'db:5432')).toBe(said);
});

test('what is no outage is told in its own words', () => {
  const said = databaseAway(failed('28P01', 'password authentication failed for user "windlass"'), 'db');
  expect(said).toContain('the database at db cannot be used: password authentication failed for user "windlass"');
});

test.each([
  ['postgres://windlass:secret@db.example:5433/windlass', 'db.example:5433'],
  ['postgres:///windlass?host=/run/postgresql', null],
  ['not a url', null],
])('where it is, without who logs in: %s', (url, host) => {
  expect(databaseHost(url)).toBe(host);
});
