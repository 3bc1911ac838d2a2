CREATE TABLE "long_logs" (
	"run_id" text NOT NULL,
	"step" text NOT NULL,
	"item" integer DEFAULT -1 NOT NULL,
	"attempt" integer NOT NULL,
	"position" bigint NOT NULL,
	"digest" text,
	"bytes" bigint DEFAULT 0 NOT NULL,
	CONSTRAINT "long_logs_run_id_step_item_attempt_pk" PRIMARY KEY("run_id","step","item","attempt")
);
--> statement-breakpoint
CREATE INDEX "long_logs_digest" ON "long_logs" USING btree ("digest") WHERE digest is not null;