import { Hono } from 'hono';
import { generateSpecs } from 'hono-openapi';
import type { AppDependencies } from './dependencies.ts';
import { apiRoutes } from './routes/index.ts';
import { probeRoutes } from './routes/server.ts';

export type OpenApiDocument = Awaited<ReturnType<typeof generateSpecs>>;

/** The OpenAPI 3.1 document, from the same schemas that check requests. The same for every server of this version. */
export function openapiDocument(): Promise<OpenApiDocument> {
  const app = new Hono();
  // no request ever reaches this app, so nothing is asked of its dependencies
  const deps = {} as AppDependencies;
  probeRoutes(app, deps);
  app.route('/api/v1', apiRoutes(deps));
  return generateSpecs(app, {
    documentation: {
      openapi: '3.1.0',
      info: {
        title: 'Windlass',
        version: 'v1',
        description:
          'Reads history, writes intent. Every list is `{items, next}`; every error is an RFC 9457 problem; unknown query ' +
          'parameters are refused.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      components: {
        securitySchemes: {
          token: { type: 'http', scheme: 'bearer', description: 'On a laptop: the content of .windlass/token.' },
        },
      },
    },
    defaultValidationErrorResponse: false,
    excludeStaticFile: false,
  });
}
