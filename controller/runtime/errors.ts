/** Retrying cannot help: logged once, counted, and left until the object changes. */
export class TerminalError extends Error {
  override name = 'TerminalError';
}

/** A lease with less than the safe margin left: nothing may begin. The run is taken up again by whoever owns it then. */
export class LeaseEnding extends Error {
  override name = 'LeaseEnding';
}
