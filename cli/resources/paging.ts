import type { Page } from '../../api/client.ts';
import type { Listing } from './resource.ts';

const pageSize = 500;

/** The first `limit` items of a list (default: all of them), page by page. */
export async function firstItems<T>(
  page: (query: { limit: number; after?: string }) => Promise<Page<T>>,
  limit = Number.POSITIVE_INFINITY,
): Promise<Listing<T>> {
  const items: T[] = [];
  let only: { namespaces?: string[] } = {};
  for (let after: string | undefined; ; ) {
    const wanted = Math.min(pageSize, limit - items.length);
    const { items: found, next, namespaces } = await page({ limit: wanted, ...(after === undefined ? {} : { after }) });
    items.push(...found);
    if (namespaces) only = { namespaces };
    if (next === null) return { items: items.slice(0, limit), more: items.length > limit, ...only };
    if (items.length >= limit) return { items: items.slice(0, limit), more: true, ...only };
    after = next;
  }
}
