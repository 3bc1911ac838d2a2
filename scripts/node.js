// `node scripts/node.js FILE [ARG…]`: runs a file of this project, or of a tool it installed, whatever Node began this.
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { canRun, relaunch } from '../cli/launch.js';

const [name = '', ...args] = process.argv.slice(2);
const file = resolve(name);
if (canRun) {
  process.argv = [process.execPath, file, ...args];
  await import(pathToFileURL(file).href);
} else relaunch(file, args);
