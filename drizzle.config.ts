import { defineConfig } from 'drizzle-kit';

/** `npx drizzle-kit generate` writes the next migration from the schema; migrations are committed and applied by store/open.ts. */
export default defineConfig({
  dialect: 'postgresql',
  schema: './controller/store/schema/*.ts',
  out: './controller/store/migrations',
});
