ALTER TABLE "attempts" ADD COLUMN "image_id" text;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "logs_unmasked" text;