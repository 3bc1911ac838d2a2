-- Rows that are updated several times a second: room on the page keeps the new version beside the old one (HOT updates).
ALTER TABLE "runs" SET (fillfactor = 60);--> statement-breakpoint
ALTER TABLE "steps" SET (fillfactor = 70);--> statement-breakpoint
ALTER TABLE "attempts" SET (fillfactor = 70);
