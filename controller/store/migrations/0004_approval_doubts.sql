CREATE TABLE "approval_looks" (
	"home" text NOT NULL,
	"uid" text NOT NULL,
	"policy" text,
	"entries" jsonb NOT NULL,
	"revision" integer NOT NULL,
	CONSTRAINT "approval_looks_home_uid_pk" PRIMARY KEY("home","uid")
);
--> statement-breakpoint
CREATE TABLE "approval_policies" (
	"home" text NOT NULL,
	"identity" text NOT NULL,
	"first_seen_at" bigint NOT NULL,
	CONSTRAINT "approval_policies_home_identity_pk" PRIMARY KEY("home","identity")
);
