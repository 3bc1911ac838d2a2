/**
 * Most bytes that a container step writes to $WINDLASS_OUTPUT, in both homes. Kubernetes hands over the last 4096 of a
 * termination message without a word: what fills them may have been cut.
 */
export const containerOutputBytes = 4095;
