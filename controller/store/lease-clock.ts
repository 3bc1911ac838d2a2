/** How long a lease lasts after each beat. */
export const leaseMs = 4_000;
export const beatMs = 1_000;
/** A main thread that has not answered for this long gets no more beats. */
export const mainSilenceMs = 10_000;

/** Cells of the memory that the main thread and the heartbeat share; instants are nanoseconds of process.hrtime. */
export const slot = { mainBeat: 0, validUntil: 1, leaderFence: 2, peers: 3, count: 4 } as const;
