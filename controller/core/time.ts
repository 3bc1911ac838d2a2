/** Milliseconds since 1970-01-01T00:00:00Z. The core is always told what time it is. */
export type Instant = number;
