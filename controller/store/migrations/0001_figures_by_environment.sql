DROP INDEX "runs_counted";--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "environment_uid" text;--> statement-breakpoint
-- What is evidence stays it: of the environment that has the name and the namespace now.
UPDATE "runs" SET "environment_uid" = e.uid FROM "environments" e
WHERE e.home = runs.home AND e.name = runs.environment AND e.namespace = runs.namespace;--> statement-breakpoint
CREATE INDEX "runs_counted" ON "runs" USING btree ("home","environment_uid","workflow","digest","phase") WHERE counted;