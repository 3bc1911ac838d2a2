import { Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { methodNotAllowed } from 'hono/method-not-allowed';
import { requestId } from 'hono/request-id';
import { secureHeaders } from 'hono/secure-headers';
import { checkContentType, checkHost, checkOrigin, checkToken } from './auth.ts';
import type { AppDependencies } from './dependencies.ts';
import { docsRoutes } from './docs.ts';
import { problemResponse, RequestProblem } from './errors.ts';
import { measureRequests } from './metrics.ts';
import { podArtifactRoutes } from './pod-artifacts.ts';
import { type OpenApiDocument, openapiDocument } from './openapi.ts';
import { apiRoutes } from './routes/index.ts';
import { probeRoutes } from './routes/server.ts';

const maxBodyBytes = 2 * 1024 * 1024;

/**
 * The HTTP API. It reads history and objects, and writes objects only: what becomes of them is the reconcilers' matter.
 *
 * Who calls is in the context (`callerOf`). A handler reads with the controller's rights, after it has asked whether the
 * caller may (`demand`), and writes with the caller's. A list of all namespaces is for those who may list in all.
 *
 *   GET    /healthz /readyz /metrics /openapi.json /docs                    open; all below needs the token
 *   GET    /api/v1/server
 *   GET    /api/v1/environments                 /environments/{name}
 *   GET    /api/v1/workflows                    /workflows/{namespace}/{name}
 *   GET    /api/v1/versions                     /versions/{digest}
 *   GET    /api/v1/promotions                   /promotions/{name}
 *   POST   /api/v1/promotions                   /promotions/{name}/approve|reject
 *   GET    /api/v1/runs
 *   POST   /api/v1/namespaces/{ns}/runs
 *   GET    /api/v1/namespaces/{ns}/runs/{name}  …/logs (SSE)  …/steps  …/steps/{step}/logs (JSON or SSE)
 *   GET    /api/v1/namespaces/{ns}/runs/{name}/artifacts                    …/steps/{step}/artifacts/{artifact} (the content)
 *   POST   /api/v1/namespaces/{ns}/runs/{name}/cancel|pause|resume|retry|replay          …/steps/{step}/approve|reject
 *   GET    /api/v1/dead-letters                 /dead-letters/{id}
 *   POST   /api/v1/dead-letters/redrive         /dead-letters/{id}/discard
 *   GET    /api/v1/circuits
 *   GET    /api/v1/events (JSON or SSE)
 *   GET    /api/v1/sources
 *   POST   /api/v1/namespaces/{ns}/workflowsources/{name}/reconcile
 *   GET    /api/v1/namespaces/{ns}/{plural}     the objects of a kind
 *   GET, PUT, DELETE /api/v1/namespaces/{ns}/{plural}/{name}
 */
export function createApp(deps: AppDependencies): Hono {
  const app = new Hono();
  app.onError((error, c) => problemResponse(error, c, deps.log));
  app.notFound((c) =>
    problemResponse(new RequestProblem('not-found', `Nothing is served at ${c.req.path}.`), c, deps.log),
  );

  app.use(measureRequests(deps.registry, deps.clock));
  app.use(requestId());
  app.use(
    secureHeaders({
      // plain HTTP on the loopback; whatever ends TLS in front says this itself
      strictTransportSecurity: false,
    }),
  );
  app.use(async (c, next) => {
    // before the handler, so that the documentation page can ask for less
    c.header('content-security-policy', "default-src 'none'; frame-ancestors 'none'");
    await next();
  });
  app.use(checkHost(deps.access.allowedHosts));
  app.use(checkOrigin(deps.access.allowedHosts));
  app.use(
    methodNotAllowed({
      app,
      onMethodNotAllowed: (c, methods) => {
        const allow = methods.join(', ');
        const problem = new RequestProblem('method-not-allowed', `${c.req.method} is not allowed here, but ${allow}.`, {
          headers: { allow },
        });
        return problemResponse(problem, c, deps.log);
      },
    }),
  );

  probeRoutes(app, deps);
  docsRoutes(app);
  podArtifactRoutes(app, deps);
  let document: Promise<OpenApiDocument> | undefined;
  app.get('/openapi.json', async (c) => c.json(await (document ??= openapiDocument())));

  app.use('/api/*', checkToken(deps.access));
  app.use('/api/*', async (c, next) => {
    // what one person may see is kept in no cache
    c.header('cache-control', 'no-store');
    await next();
  });
  app.use('/api/*', checkContentType);
  app.use(
    '/api/*',
    bodyLimit({
      maxSize: maxBodyBytes,
      onError: () => {
        throw new RequestProblem('too-large', 'The body is larger than 2 MiB.');
      },
    }),
  );
  app.route('/api/v1', apiRoutes(deps));
  return app;
}
