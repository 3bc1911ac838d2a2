DROP INDEX "runs_counted";--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "environment_uid" text;--> statement-breakpoint
CREATE INDEX "runs_counted" ON "runs" USING btree ("home","environment_uid","workflow","digest","phase") WHERE counted;