import { setImmediate as turn } from 'node:timers/promises';
import postgres from 'postgres';

type Sql = postgres.Sql;
type Transaction = postgres.TransactionSql;

/** At the limit a BEGIN is sent without its connection being kept for it. The driver's types leave this option out. */
const unlimited = { max_pipeline: 1_000_000 } as object;

/**
 * Connections of postgres.js that survive the end of the server's. The driver (3.4.9; its issues 1133, 1189, 1208, 1216)
 * does three things when a connection closes that must not happen: it writes a ROLLBACK to the socket that is gone, which
 * ends the process; what was about to be written stays in the way, so that the connection never comes back; and a
 * transaction that goes on afterwards is executed on the next connection, in whatever transaction that is in. So a closed
 * connection takes the whole pool with it, and a transaction whose connection is gone says nothing more.
 *
 * Has what drizzle-orm/postgres-js uses of a client.
 */
export class PostgresPool {
  readonly #create: () => Sql;
  #current: Sql;
  #closed = false;
  readonly #retiring = new Set<Promise<void>>();

  constructor(url: string, options: postgres.Options<Record<string, never>>) {
    this.#create = () => {
      const pool: Sql = postgres(url, {
        ...options,
        ...unlimited,
        // None is closed for its age: a closed one costs the others.
        max_lifetime: null,
        onclose: () => this.#replace(pool),
      });
      return pool;
    };
    this.#current = this.#create();
  }

  /** Where drizzle puts how it reads and writes values. */
  get options(): Sql['options'] {
    return this.#current.options;
  }

  unsafe(...args: Parameters<Sql['unsafe']>): ReturnType<Sql['unsafe']> {
    return this.#current.unsafe(...args);
  }

  /** Runs `work` in a transaction. @throws what it throws, and what the connection ended with */
  async begin<T>(work: (sql: Transaction) => Promise<T>): Promise<T> {
    let over = false;
    const never = new Promise<never>(() => {});
    try {
      return (await this.#current.begin(async (sql) => {
        const kept = Object.assign(Object.create(sql) as Transaction, {
          unsafe: (...args: Parameters<Transaction['unsafe']>) => {
            if (over) throw new Error('the connection of this transaction has ended');
            return sql.unsafe(...args);
          },
        });
        try {
          const result = await work(kept);
          return over ? await never : result;
        } catch (error) {
          // The news that the connection has gone may be just behind what it made fail.
          await turn();
          // With nobody to roll it back, the server has done so; the driver must not try.
          if (over || isFatal(error)) return await never;
          throw error;
        }
      })) as T;
    } finally {
      over = true;
    }
  }

  /** Lets what is under way end, for 5 s. */
  async end(): Promise<void> {
    this.#closed = true;
    await Promise.all([this.#current.end({ timeout: 5 }), ...this.#retiring]);
  }

  #replace(pool: Sql): void {
    if (this.#closed || pool !== this.#current) return;
    const { parsers, serializers } = pool.options;
    this.#current = this.#create();
    Object.assign(this.#current.options.parsers, parsers);
    Object.assign(this.#current.options.serializers, serializers);
    // Its other connections may be well, and in the middle of something; what has not begun is tried again elsewhere.
    const retiring = pool.end({ timeout: 0.5 }).finally(() => this.#retiring.delete(retiring));
    this.#retiring.add(retiring);
  }
}

/** The server says that this connection ends: what comes next on it is that it is closed. */
function isFatal(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    const { severity } = at as { severity?: string };
    if (severity === 'FATAL' || severity === 'PANIC') return true;
  }
  return false;
}

const lost = new Set<unknown>(['CONNECTION_CLOSED', 'CONNECTION_DESTROYED', 'CONNECTION_ENDED']);

/**
 * The driver also rejects queries of its own that nobody waits for when a connection goes, which would end the process. Whoever asked
 * something is told all the same; any other rejection that nobody handles ends the process as ever. Returns what takes this back.
 */
export function forgiveLostConnections(): () => void {
  const judge = (reason: unknown) => {
    if (!(reason instanceof Error && lost.has((reason as NodeJS.ErrnoException).code))) throw reason;
  };
  process.on('unhandledRejection', judge);
  return () => void process.off('unhandledRejection', judge);
}
