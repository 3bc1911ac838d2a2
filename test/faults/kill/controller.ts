import { dirname } from 'node:path';
import pino from 'pino';
import { systemClock } from '../../../controller/runtime/clock.ts';
import { openLaptop } from '../../../controller/start-laptop.ts';

/**
 * One of several controllers of a home on this machine, to be killed and stalled. Arguments: data directory, URL of the
 * database. Says its API's URL once it serves, its warnings to standard error; ends with its standard input.
 */
const [dataDir = '', databaseUrl = ''] = process.argv.slice(2);
const { controller, token } = await openLaptop({
  dataDir,
  databaseUrl,
  listen: { host: '127.0.0.1', port: 0 },
  env: { PATH: process.env['PATH'], HOME: dirname(dataDir) },
  clock: systemClock,
  log: pino({ level: 'warn' }, pino.destination(2)),
  version: 'test',
});
process.stdin.once('end', () => void controller.stop(0).then(() => process.exit(0)));
process.stdin.resume();
process.stdout.write(`${JSON.stringify({ url: controller.url, token })}\n`);
