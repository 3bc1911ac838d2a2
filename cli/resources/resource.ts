import type { Client } from '../../api/client.ts';
import type { Paint } from '../output/text.ts';

/** What every row may need to be shown. */
export interface View {
  now: number;
  paint: Paint;
}

export interface Column<T> {
  head: string;
  value(item: T, view: View): string;
}

/** What `get` was asked for, beside the resource and a name. */
export interface ListOptions {
  namespace?: string;
  /** Name of a run. */
  parent?: string;
  workflow?: string;
  environment?: string;
  phase?: string[];
  failed?: boolean;
  since?: string;
  limit?: number;
}
export type ListOption = keyof ListOptions;

/** A list, and whether there is more of it than was asked for. */
export interface Listing<T> {
  items: T[];
  more: boolean;
  /** Only of these namespaces, though all were asked for: the caller may not list the others. */
  namespaces?: string[];
}

/** Something that `get` shows as rows. */
export interface Resource<T> {
  /** What users may call it; the first is the one that is written in the documentation. */
  names: readonly string[];
  /** Filters that mean something here; others are refused. */
  options: readonly ListOption[];
  columns: readonly Column<T>[];
  list(client: Client, options: ListOptions): Promise<Listing<T>>;
  /** One by name, as a row and as the whole answer of the API. Absent: it has no name. */
  get?(client: Client, name: string, options: ListOptions): Promise<T>;
  /** Tells rows apart while they are watched. */
  key(item: T): string;
}
