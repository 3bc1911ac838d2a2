import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { Hono } from 'hono';

/** Of the package, only what the page needs. */
const assets: Record<string, string> = {
  'swagger-ui.css': 'text/css; charset=utf-8',
  'swagger-ui-bundle.js': 'text/javascript; charset=utf-8',
  'favicon-32x32.png': 'image/png',
};

const page = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <title>Windlass API</title>
    <link rel="stylesheet" href="docs/swagger-ui.css">
    <link rel="icon" type="image/png" href="docs/favicon-32x32.png">
  </head>
  <body>
    <div id="swagger-ui"></div>
    <script src="docs/swagger-ui-bundle.js"></script>
    <script src="docs/start.js"></script>
  </body>
</html>
`;

const start = `window.ui = SwaggerUIBundle({ url: 'openapi.json', dom_id: '#swagger-ui', deepLinking: true, validatorUrl: null });
`;

/** Swagger UI sets styles inline and draws its icons from data: URLs; scripts come from here only. */
const contentSecurityPolicy =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/** The documentation page, from disk: it works with no network. */
export function docsRoutes(app: Hono): void {
  app.get('/', (c) => c.redirect('/docs'));
  app.get('/docs', (c) => c.html(page, 200, { 'content-security-policy': contentSecurityPolicy }));
  app.get('/docs/start.js', (c) => c.body(start, 200, { 'content-type': 'text/javascript; charset=utf-8' }));
  for (const [name, type] of Object.entries(assets)) {
    app.get(`/docs/${name}`, async (c) => {
      const folder = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'));
      const bytes = new Uint8Array(await readFile(join(folder, name)));
      return c.body(bytes, 200, { 'content-type': type, 'cache-control': 'max-age=86400' });
    });
  }
}
