import type { MiddlewareHandler } from 'hono';
import { routePath } from 'hono/route';
import { Counter, Histogram, type Registry } from 'prom-client';
import type { Clock } from '../controller/seams/clock.ts';

/** Counts requests by operation, not by path: names of runs must not become label values. */
export function measureRequests(registry: Registry, clock: Clock): MiddlewareHandler {
  const labelNames = ['method', 'route', 'status'];
  const requests = new Counter({
    name: 'windlass_http_requests_total',
    help: 'HTTP requests answered.',
    labelNames,
    registers: [registry],
  });
  const seconds = new Histogram({
    name: 'windlass_http_request_duration_seconds',
    help: 'Time until the head of the response was sent; streams go on longer.',
    labelNames,
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
    registers: [registry],
  });
  return async (c, next) => {
    const from = clock.monotonic();
    await next();
    const path = routePath(c, -1);
    const labels = { method: c.req.method, route: path.includes('*') ? 'none' : path, status: String(c.res.status) };
    requests.inc(labels);
    seconds.observe(labels, (clock.monotonic() - from) / 1000);
  };
}
