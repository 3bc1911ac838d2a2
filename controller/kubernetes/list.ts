import type { KubernetesClient, RequestOptions } from './client.ts';
import { isRefusal } from './errors.ts';

/** What every object of a list has. */
export interface Listed {
  metadata: { name: string; namespace?: string; uid: string; resourceVersion: string; managedFields?: unknown };
}

interface Collection<T> {
  items: T[];
  /** The instant that all of them are of. */
  version: string;
}

interface ListPage<T> {
  metadata: { resourceVersion: string; continue?: string };
  items: T[] | null;
}

/** Keeps one answer below some MB. */
const pageSize = 500;

/** All objects of a collection, as they were at one instant. */
export async function listAll<T extends Listed>(
  client: KubernetesClient,
  path: string,
  options: Pick<RequestOptions, 'query' | 'signal'>,
): Promise<Collection<T>> {
  for (;;) {
    const items: T[] = [];
    let next: string | undefined;
    try {
      for (;;) {
        const query = { ...options.query, limit: pageSize, continue: next };
        const page: ListPage<T> = await client.request('GET', path, { ...options, query });
        for (const item of page.items ?? []) {
          // Nobody reads them in a list, and they are half of an object.
          delete item.metadata.managedFields;
          items.push(item);
        }
        next = page.metadata.continue || undefined;
        if (next === undefined) return { items, version: page.metadata.resourceVersion };
      }
    } catch (error) {
      // Reading took longer than the API server keeps history (5 minutes): from the start again.
      if (!isRefusal(error, 410) || next === undefined) throw error;
    }
  }
}
