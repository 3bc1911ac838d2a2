CREATE TABLE "artifacts" (
	"home" text NOT NULL,
	"digest" text NOT NULL,
	"bytes" bigint NOT NULL,
	"due_at" bigint NOT NULL,
	CONSTRAINT "artifacts_home_digest_pk" PRIMARY KEY("home","digest")
);
--> statement-breakpoint
CREATE TABLE "image_ids" (
	"home" text NOT NULL,
	"namespace" text NOT NULL,
	"image" text NOT NULL,
	"image_id" text NOT NULL,
	"seen_at" bigint NOT NULL,
	CONSTRAINT "image_ids_home_namespace_image_pk" PRIMARY KEY("home","namespace","image")
);
--> statement-breakpoint
CREATE TABLE "step_cache" (
	"home" text NOT NULL,
	"namespace" text NOT NULL,
	"key" text NOT NULL,
	"workflow" text NOT NULL,
	"step" text NOT NULL,
	"parts" jsonb NOT NULL,
	"filler_run" text,
	"filler_step" text,
	"filler_item" integer,
	"asked_at" bigint NOT NULL,
	"filled_at" bigint,
	"expires_at" bigint,
	"used_at" bigint NOT NULL,
	"outputs" jsonb,
	"artifacts" jsonb,
	"image_id" text,
	"bytes" bigint DEFAULT 0 NOT NULL,
	CONSTRAINT "step_cache_home_namespace_key_pk" PRIMARY KEY("home","namespace","key")
);
--> statement-breakpoint
CREATE TABLE "dead_letters" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "dead_letters_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"home" text NOT NULL,
	"kind" text NOT NULL,
	"subject" text NOT NULL,
	"namespace" text NOT NULL,
	"name" text NOT NULL,
	"workflow" text NOT NULL,
	"payload" jsonb NOT NULL,
	"error" jsonb,
	"execution" integer NOT NULL,
	"landed_at" bigint NOT NULL,
	"state" text DEFAULT 'Waiting' NOT NULL,
	"redrives" integer DEFAULT 0 NOT NULL,
	"redriven_at" bigint,
	"redriven_by" text,
	"redriven_as" text,
	"closed_at" bigint,
	"closed_by" text,
	"closed_reason" text
);
--> statement-breakpoint
CREATE TABLE "lock_claims" (
	"run_id" text NOT NULL,
	"step" text NOT NULL,
	"item" integer DEFAULT -1 NOT NULL,
	"home" text NOT NULL,
	"namespace" text NOT NULL,
	"state" text NOT NULL,
	"label" text NOT NULL,
	"ancestors" jsonb NOT NULL,
	"priority" integer NOT NULL,
	"since" bigint NOT NULL,
	"request" jsonb NOT NULL,
	"only_slot" boolean NOT NULL,
	"superseded" text,
	"error" jsonb,
	CONSTRAINT "lock_claims_run_id_step_item_pk" PRIMARY KEY("run_id","step","item")
);
--> statement-breakpoint
CREATE TABLE "lock_namespaces" (
	"home" text NOT NULL,
	"namespace" text NOT NULL,
	CONSTRAINT "lock_namespaces_home_namespace_pk" PRIMARY KEY("home","namespace")
);
--> statement-breakpoint
DROP INDEX "runs_created";--> statement-breakpoint
ALTER TABLE "log_chunks" DROP CONSTRAINT "log_chunks_run_id_step_attempt_position_pk";--> statement-breakpoint
ALTER TABLE "attempts" DROP CONSTRAINT "attempts_run_id_step_number_pk";--> statement-breakpoint
ALTER TABLE "steps" DROP CONSTRAINT "steps_run_id_step_pk";--> statement-breakpoint
ALTER TABLE "log_chunks" ADD COLUMN "item" integer DEFAULT -1 NOT NULL;--> statement-breakpoint
ALTER TABLE "attempts" ADD COLUMN "item" integer DEFAULT -1 NOT NULL;--> statement-breakpoint
ALTER TABLE "attempts" ADD COLUMN "via" text DEFAULT 'main' NOT NULL;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "priority" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "execution" integer DEFAULT 1 NOT NULL;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "queued_at" bigint;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "parent" jsonb;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "root" text;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "root_name" text;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "depth" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "replay_of" text;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "forced" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "compensating_at" bigint;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "spec" jsonb;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "spec_generation" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "steps" ADD COLUMN "item" integer DEFAULT -1 NOT NULL;--> statement-breakpoint
ALTER TABLE "steps" ADD COLUMN "label" text;--> statement-breakpoint
ALTER TABLE "steps" ADD COLUMN "items" integer;--> statement-breakpoint
ALTER TABLE "steps" ADD COLUMN "via" text DEFAULT 'main' NOT NULL;--> statement-breakpoint
ALTER TABLE "steps" ADD COLUMN "body_attempts" integer;--> statement-breakpoint
ALTER TABLE "steps" ADD COLUMN "iteration" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "steps" ADD COLUMN "artifacts" jsonb DEFAULT '{}'::jsonb NOT NULL;--> statement-breakpoint
ALTER TABLE "steps" ADD COLUMN "cache" jsonb;--> statement-breakpoint
-- What runs and steps of before would have had.
UPDATE "runs" SET "queued_at" = created_at, "root" = id, "root_name" = name;--> statement-breakpoint
ALTER TABLE "runs" ALTER COLUMN "queued_at" SET NOT NULL;--> statement-breakpoint
ALTER TABLE "runs" ALTER COLUMN "root" SET NOT NULL;--> statement-breakpoint
ALTER TABLE "runs" ALTER COLUMN "root_name" SET NOT NULL;--> statement-breakpoint
UPDATE "steps" SET "body_attempts" = attempts;--> statement-breakpoint
ALTER TABLE "steps" ALTER COLUMN "body_attempts" SET NOT NULL;--> statement-breakpoint
ALTER TABLE "log_chunks" ADD CONSTRAINT "log_chunks_run_id_step_item_attempt_position_pk" PRIMARY KEY("run_id","step","item","attempt","position");--> statement-breakpoint
ALTER TABLE "attempts" ADD CONSTRAINT "attempts_run_id_step_item_number_pk" PRIMARY KEY("run_id","step","item","number");--> statement-breakpoint
ALTER TABLE "steps" ADD CONSTRAINT "steps_run_id_step_item_pk" PRIMARY KEY("run_id","step","item");--> statement-breakpoint
CREATE INDEX "artifacts_due" ON "artifacts" USING btree ("home","due_at");--> statement-breakpoint
CREATE INDEX "step_cache_step" ON "step_cache" USING btree ("workflow","step","namespace","home");--> statement-breakpoint
CREATE UNIQUE INDEX "dead_letters_subject" ON "dead_letters" USING btree ("kind","subject");--> statement-breakpoint
CREATE INDEX "dead_letters_landed" ON "dead_letters" USING btree ("home","landed_at","id");--> statement-breakpoint
CREATE INDEX "lock_claims_order" ON "lock_claims" USING btree ("home","namespace","only_slot","state","priority" desc,"since","run_id");--> statement-breakpoint
CREATE INDEX "runs_parent" ON "runs" USING btree (("parent" ->> 'runId'),"created_at","id") WHERE depth > 0;--> statement-breakpoint
CREATE INDEX "runs_spec_changed" ON "runs" USING btree ("owner","home") WHERE finished_at is null and spec_generation > 0;--> statement-breakpoint
CREATE INDEX "steps_artifacts" ON "steps" USING gin (jsonb_path_query_array("artifacts", '$.*.digest')) WHERE artifacts <> '{}'::jsonb;--> statement-breakpoint
CREATE INDEX "runs_created" ON "runs" USING btree ("home","created_at","id") WHERE depth = 0;--> statement-breakpoint
-- Used again and again, as the hot tables of the engine are.
ALTER TABLE "step_cache" SET (fillfactor = 70);
