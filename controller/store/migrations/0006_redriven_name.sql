ALTER TABLE "dead_letters" ADD COLUMN "redriven_name" text;--> statement-breakpoint
CREATE INDEX "dead_letters_redriven" ON "dead_letters" USING btree ("home","namespace","redriven_name") WHERE redriven_name is not null;--> statement-breakpoint
-- What a letter is started again with, and as what, from the runs themselves.
UPDATE "dead_letters" d SET "payload" = d."payload" || jsonb_build_object('priority', r."priority") FROM "runs" r WHERE r."id" = d."subject";--> statement-breakpoint
UPDATE "dead_letters" d SET "redriven_name" = r."name" FROM "runs" r WHERE r."id" = d."redriven_as";
