/** What the files take that are on their way, each a share of the room. */
export interface SpoolShare {
  /** Waits until there is room for so many bytes more. */
  take(bytes: number): Promise<void>;
  /** Nothing more is taken. */
  filled(): void;
  /** Its file is gone. */
  release(): void;
}

/**
 * The bytes that files on their way to a bucket may take together: a disk that is full, or a Pod that is evicted for what is
 * on it, would end all of them. Who comes first can always become as large as one may, so that one of them gets on
 * whatever the others hold; these share what that leaves, and wait.
 */
export class SpoolRoom {
  readonly #limit: number;
  readonly #largest: number;
  #held = 0;
  /** Bytes of those that still grow, in the order in which they began. */
  readonly #growing = new Map<SpoolShare, number>();
  #freed = Promise.withResolvers<void>();

  /** `largest`: bytes that one file may have; `limit`: of all together, at least as many. */
  constructor(largest: number, limit: number) {
    this.#largest = largest;
    this.#limit = Math.max(largest, limit);
  }

  begin(): SpoolShare {
    let own = 0;
    const share: SpoolShare = {
      take: async (bytes) => {
        while (!this.#fits(share, own, bytes)) await this.#freed.promise;
        own += bytes;
        this.#held += bytes;
        this.#growing.set(share, own);
      },
      filled: () => {
        if (this.#growing.delete(share)) this.#wake();
      },
      release: () => {
        this.#growing.delete(share);
        this.#held -= own;
        own = 0;
        this.#wake();
      },
    };
    this.#growing.set(share, 0);
    return share;
  }

  #fits(share: SpoolShare, own: number, bytes: number): boolean {
    const [first] = this.#growing;
    const isFirst = first === undefined || first[0] === share;
    // Larger than was agreed on: the others wait for this one, which must not wait for them.
    if (isFirst && own + bytes > this.#largest) return true;
    const kept = isFirst ? 0 : Math.max(0, this.#largest - first[1]);
    return this.#held + bytes + kept <= this.#limit;
  }

  #wake(): void {
    this.#freed.resolve();
    this.#freed = Promise.withResolvers<void>();
  }
}
