#!/usr/bin/env node
import { fileURLToPath } from 'node:url';
import { canRun, relaunch } from './launch.js';

if (canRun) {
  const { runProcess } = await import('./process.ts');
  await runProcess();
} else relaunch(fileURLToPath(import.meta.url), process.argv.slice(2));
