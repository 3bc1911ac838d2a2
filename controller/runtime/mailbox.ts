/** Holds what was observed about each key until its reconcile takes it. Observations are facts: none is lost or dropped here. */
export interface Mailbox<Observation> {
  /** Adds an observation and tells whoever listens. */
  post(key: string, observation: Observation): void;
  /** Takes everything posted so far, oldest first. */
  take(key: string): Observation[];
  /** Puts back what was taken by a reconcile that could not record it; it comes first again. */
  putBack(key: string, observations: Observation[]): void;
  /** Drops what is held for a key that is done. */
  forget(key: string): void;
  /** Calls `fn` after each post. One listener: the loop that reconciles these keys. */
  onPost(fn: (key: string) => void): void;
}

export function createMailbox<Observation>(): Mailbox<Observation> {
  const boxes = new Map<string, Observation[]>();
  let listener: (key: string) => void = () => {};
  return {
    post(key, observation) {
      const box = boxes.get(key);
      if (box) box.push(observation);
      else boxes.set(key, [observation]);
      listener(key);
    },
    take(key) {
      const box = boxes.get(key) ?? [];
      boxes.delete(key);
      return box;
    },
    putBack(key, observations) {
      if (observations.length > 0) boxes.set(key, [...observations, ...(boxes.get(key) ?? [])]);
    },
    forget: (key) => void boxes.delete(key),
    onPost(fn) {
      listener = fn;
    },
  };
}
