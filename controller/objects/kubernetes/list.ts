import type { KubernetesClient, Query } from '../../kubernetes/client.ts';
import { isExpired } from './errors.ts';
import type { RawObject } from './raw.ts';

interface ListPage {
  metadata: { resourceVersion: string; continue?: string };
  items: RawObject[] | null;
}

/** Keeps one answer below some MB. */
const pageSize = 500;

/** All objects as they were at one instant, `version`. */
export async function listAll(
  client: KubernetesClient,
  path: string,
  query: Query,
): Promise<{ items: RawObject[]; version: string }> {
  for (;;) {
    const items: RawObject[] = [];
    let next: string | undefined;
    try {
      for (;;) {
        const page: ListPage = await client.request('GET', path, {
          query: { ...query, limit: pageSize, continue: next },
        });
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
      if (!isExpired(error) || next === undefined) throw error;
    }
  }
}
