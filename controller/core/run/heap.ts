/** A binary heap in an array, the first by `isBefore` on top. `isBefore` must be a total order for equal results in equal states. */
export function heapPush<T>(items: T[], item: T, isBefore: (a: T, b: T) => boolean): void {
  let at = items.length;
  items.push(item);
  while (at > 0) {
    const parent = (at - 1) >> 1;
    const above = items[parent] as T;
    if (!isBefore(item, above)) break;
    items[at] = above;
    at = parent;
  }
  items[at] = item;
}

/** Takes the first out; undefined when there is none. */
export function heapPop<T>(items: T[], isBefore: (a: T, b: T) => boolean): T | undefined {
  const top = items[0];
  const last = items.pop();
  if (last === undefined || items.length === 0) return top;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= items.length) break;
    const right = child + 1;
    if (right < items.length && isBefore(items[right] as T, items[child] as T)) child = right;
    if (!isBefore(items[child] as T, last)) break;
    items[at] = items[child] as T;
    at = child;
  }
  items[at] = last;
  return top;
}
