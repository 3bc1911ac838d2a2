import { Hono } from 'hono';
import type { AppDependencies } from '../dependencies.ts';
import { artifactRoutes } from './artifacts.ts';
import { cacheRoutes } from './cache.ts';
import { circuitRoutes } from './circuits.ts';
import { deadLetterRoutes } from './dead-letters.ts';
import { environmentRoutes } from './environments.ts';
import { eventRoutes } from './events.ts';
import { logRoutes } from './logs.ts';
import { objectRoutes } from './objects.ts';
import { promotionRoutes } from './promotions.ts';
import { runAgainRoutes } from './run-again.ts';
import { runIntentRoutes } from './run-intents.ts';
import { runRoutes, stepRoutes } from './runs.ts';
import { serverRoutes } from './server.ts';
import { sourceRoutes } from './sources.ts';
import { versionRoutes } from './versions.ts';
import { workflowRoutes } from './workflows.ts';

/** Everything below /api/v1. Registering only closes over `deps`; nothing of it is used before a request. */
export function apiRoutes(deps: AppDependencies): Hono {
  const api = new Hono();
  serverRoutes(api, deps);
  environmentRoutes(api, deps);
  workflowRoutes(api, deps);
  versionRoutes(api, deps);
  promotionRoutes(api, deps);
  runRoutes(api, deps);
  stepRoutes(api, deps);
  runIntentRoutes(api, deps);
  runAgainRoutes(api, deps);
  cacheRoutes(api, deps);
  logRoutes(api, deps);
  artifactRoutes(api, deps);
  deadLetterRoutes(api, deps);
  circuitRoutes(api, deps);
  eventRoutes(api, deps);
  sourceRoutes(api, deps);
  objectRoutes(api, deps);
  return api;
}
