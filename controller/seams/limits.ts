/** What history keeps of an attempt: executors hand over no more, and the store takes no more. */

/** Of its log; what is longer is kept elsewhere or cut. */
export const storedLogBytes = 4 * 1024 * 1024;
/** Longest piece of a log. */
export const logPieceBytes = 64 * 1024;
/** Deepest nesting of a JSON value. */
export const storedDepth = 64;
