CREATE SEQUENCE "public"."object_version" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1;--> statement-breakpoint
CREATE TABLE "events" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "events_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"home" text NOT NULL,
	"kind" text NOT NULL,
	"namespace" text NOT NULL,
	"name" text NOT NULL,
	"type" text NOT NULL,
	"reason" text NOT NULL,
	"message" text NOT NULL,
	"at" bigint NOT NULL
);
--> statement-breakpoint
CREATE TABLE "log_chunks" (
	"run_id" text NOT NULL,
	"step" text NOT NULL,
	"attempt" integer NOT NULL,
	"position" bigint NOT NULL,
	"bytes" "bytea" NOT NULL,
	CONSTRAINT "log_chunks_run_id_step_attempt_position_pk" PRIMARY KEY("run_id","step","attempt","position")
);
--> statement-breakpoint
CREATE TABLE "leaders" (
	"home" text PRIMARY KEY NOT NULL,
	"owner" text NOT NULL,
	"fence" bigint NOT NULL
);
--> statement-breakpoint
CREATE TABLE "replicas" (
	"id" text PRIMARY KEY NOT NULL,
	"home" text NOT NULL,
	"expires_at" timestamp with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "objects" (
	"uid" text PRIMARY KEY NOT NULL,
	"home" text NOT NULL,
	"kind" text NOT NULL,
	"namespace" text NOT NULL,
	"name" text NOT NULL,
	"generation" integer NOT NULL,
	"resource_version" bigint DEFAULT nextval('object_version') NOT NULL,
	"created_at" bigint NOT NULL,
	"labels" jsonb NOT NULL,
	"annotations" jsonb NOT NULL,
	"spec" jsonb NOT NULL,
	"status" jsonb,
	"deleted" boolean DEFAULT false NOT NULL,
	"deleted_at" bigint,
	"changed" "xid8" DEFAULT pg_current_xact_id() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "active_history" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "active_history_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"home" text NOT NULL,
	"project" text NOT NULL,
	"environment" text NOT NULL,
	"uid" text NOT NULL,
	"workflow" text NOT NULL,
	"digest" text,
	"ref" text NOT NULL,
	"commit" text NOT NULL,
	"at" bigint NOT NULL
);
--> statement-breakpoint
CREATE TABLE "active_versions" (
	"home" text NOT NULL,
	"project" text NOT NULL,
	"environment" text NOT NULL,
	"workflow" text NOT NULL,
	"digest" text NOT NULL,
	"ref" text NOT NULL,
	"commit" text NOT NULL,
	"since" bigint NOT NULL,
	CONSTRAINT "active_versions_home_project_environment_workflow_pk" PRIMARY KEY("home","project","environment","workflow")
);
--> statement-breakpoint
CREATE TABLE "environments" (
	"home" text NOT NULL,
	"project" text NOT NULL,
	"name" text NOT NULL,
	"uid" text NOT NULL,
	"namespace" text,
	"revision" integer DEFAULT 0 NOT NULL,
	CONSTRAINT "environments_home_project_name_pk" PRIMARY KEY("home","project","name")
);
--> statement-breakpoint
CREATE TABLE "promotions" (
	"id" text PRIMARY KEY NOT NULL,
	"home" text NOT NULL,
	"project" text NOT NULL,
	"name" text NOT NULL,
	"environment" text NOT NULL,
	"ref" text NOT NULL,
	"commit" text,
	"phase" text NOT NULL,
	"reason" text,
	"message" text,
	"changes" jsonb NOT NULL,
	"gates" jsonb NOT NULL,
	"gates_at_start" jsonb,
	"diagnostics" jsonb NOT NULL,
	"automatic" boolean NOT NULL,
	"created_at" bigint NOT NULL,
	"finished_at" bigint
);
--> statement-breakpoint
CREATE TABLE "attempts" (
	"run_id" text NOT NULL,
	"step" text NOT NULL,
	"number" integer NOT NULL,
	"phase" text NOT NULL,
	"stop_reason" text,
	"started_at" bigint NOT NULL,
	"finished_at" bigint,
	"error" jsonb,
	CONSTRAINT "attempts_run_id_step_number_pk" PRIMARY KEY("run_id","step","number")
);
--> statement-breakpoint
CREATE TABLE "runs" (
	"id" text PRIMARY KEY NOT NULL,
	"home" text NOT NULL,
	"owner" text DEFAULT '' NOT NULL,
	"fence" bigint DEFAULT 0 NOT NULL,
	"namespace" text NOT NULL,
	"name" text NOT NULL,
	"workflow" text NOT NULL,
	"digest" text NOT NULL,
	"version" text,
	"environment" text,
	"values" jsonb NOT NULL,
	"inputs" jsonb NOT NULL,
	"phase" text NOT NULL,
	"desired" text NOT NULL,
	"reason" text,
	"date" text NOT NULL,
	"created_at" bigint NOT NULL,
	"started_at" bigint,
	"finished_at" bigint,
	"stood_ms" bigint NOT NULL,
	"stands_since" bigint,
	"outcome" text,
	"error" jsonb,
	"finalizing_at" bigint,
	"outputs" jsonb,
	"revision" integer NOT NULL,
	"counted" boolean GENERATED ALWAYS AS ((finished_at is not null and phase <> 'Cancelled' and coalesce(error ->> 'type', '') not like 'infrastructure/%')) STORED
);
--> statement-breakpoint
CREATE TABLE "steps" (
	"run_id" text NOT NULL,
	"step" text NOT NULL,
	"phase" text NOT NULL,
	"reason" text,
	"started_at" bigint,
	"finished_at" bigint,
	"attempts" integer NOT NULL,
	"infrastructure_failures" integer NOT NULL,
	"until" bigint,
	"outputs" jsonb,
	"error" jsonb,
	CONSTRAINT "steps_run_id_step_pk" PRIMARY KEY("run_id","step")
);
--> statement-breakpoint
CREATE TABLE "blobs" (
	"sha256" text PRIMARY KEY NOT NULL,
	"bytes" "bytea" NOT NULL
);
--> statement-breakpoint
CREATE TABLE "ref_contents" (
	"source_id" text NOT NULL,
	"commit" text NOT NULL,
	"path" text NOT NULL,
	"content" json NOT NULL,
	CONSTRAINT "ref_contents_source_id_commit_path_pk" PRIMARY KEY("source_id","commit","path")
);
--> statement-breakpoint
CREATE TABLE "refs" (
	"source_id" text NOT NULL,
	"ref" text NOT NULL,
	"commit" text NOT NULL,
	"tagger" json,
	"author" json NOT NULL,
	"message" text NOT NULL,
	"first_seen_at" bigint NOT NULL,
	"moved_to" text,
	"deleted" boolean NOT NULL,
	CONSTRAINT "refs_source_id_ref_pk" PRIMARY KEY("source_id","ref")
);
--> statement-breakpoint
CREATE TABLE "version_names" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "version_names_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"home" text NOT NULL,
	"project" text NOT NULL,
	"workflow" text NOT NULL,
	"digest" text NOT NULL,
	"ref" text NOT NULL,
	"commit" text NOT NULL,
	"at" bigint NOT NULL,
	CONSTRAINT "version_names_once" UNIQUE("home","project","workflow","digest","ref","commit")
);
--> statement-breakpoint
CREATE TABLE "versions" (
	"digest" text PRIMARY KEY NOT NULL,
	"workflow" text NOT NULL,
	"spec" json NOT NULL,
	"files" json NOT NULL,
	"created_at" bigint NOT NULL
);
--> statement-breakpoint
CREATE INDEX "events_home" ON "events" USING btree ("home","id");--> statement-breakpoint
CREATE INDEX "events_object" ON "events" USING btree ("home","namespace","name","id");--> statement-breakpoint
CREATE INDEX "replicas_home" ON "replicas" USING btree ("home");--> statement-breakpoint
CREATE UNIQUE INDEX "objects_name" ON "objects" USING btree ("home","kind","namespace","name") WHERE not deleted;--> statement-breakpoint
CREATE INDEX "objects_changed" ON "objects" USING btree ("home","changed");--> statement-breakpoint
CREATE INDEX "active_history_environment" ON "active_history" USING btree ("home","project","environment","workflow","id");--> statement-breakpoint
CREATE UNIQUE INDEX "environments_namespace" ON "environments" USING btree ("home","namespace") WHERE namespace is not null;--> statement-breakpoint
CREATE INDEX "promotions_created" ON "promotions" USING btree ("home","created_at","id");--> statement-breakpoint
CREATE INDEX "promotions_environment" ON "promotions" USING btree ("home","project","environment","finished_at");--> statement-breakpoint
CREATE INDEX "runs_unfinished" ON "runs" USING btree ("owner","home") WHERE finished_at is null;--> statement-breakpoint
CREATE INDEX "runs_name" ON "runs" USING btree ("home","namespace","name");--> statement-breakpoint
CREATE INDEX "runs_created" ON "runs" USING btree ("home","created_at","id");--> statement-breakpoint
CREATE INDEX "runs_counted" ON "runs" USING btree ("home","environment","workflow","digest","phase") WHERE counted;--> statement-breakpoint
CREATE INDEX "version_names_at" ON "version_names" USING btree ("home","at","id");--> statement-breakpoint
-- Rows that are updated several times a second: room on the page keeps the new version beside the old one (HOT updates).
ALTER TABLE "runs" SET (fillfactor = 60);--> statement-breakpoint
ALTER TABLE "steps" SET (fillfactor = 70);--> statement-breakpoint
ALTER TABLE "attempts" SET (fillfactor = 70);

