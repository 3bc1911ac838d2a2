import type { JsonValue } from '../../../../crds/json.ts';
import { maxListLength } from '../../expression/limits.ts';
import { contextNames } from '../../expression/references.ts';
import { splitTemplate } from '../../expression/segments.ts';
import type { Path } from '../../parse/position.ts';
import { isReserved, reservedMessage } from '../reserved.ts';
import type { Finding, Rule, VisitedStep } from '../visit.ts';

/** What `forEach` walks is there, is a list, and is not too long, as far as that is written out. */
export const forEach: Rule = {
  name: 'for-each',
  check: ({ steps }) => steps.flatMap(({ spec, path }) => judge(spec.forEach, [...path, 'forEach'])),
};

function judge(written: VisitedStep['spec']['forEach'], path: Path): Finding[] {
  if (written === undefined) return [];
  const { items, range, matrix } = written;
  if (range !== undefined) return judgeRange(range, [...path, 'range']);
  if (matrix !== undefined) return judgeMatrix(matrix as Record<string, JsonValue>, [...path, 'matrix']);
  const at = [...path, 'items'];
  if (typeof items === 'object' && items !== null) return tooMany(Object.keys(items).length, at);
  return isOneExpression(items) ? [] : [{ path: at, message: 'items must be a list, a map, or one ${{ }} alone' }];
}

function judgeRange({ from = 0, to, step = 1 }: { from?: unknown; to: unknown; step?: number }, path: Path): Finding[] {
  const wrong = Object.entries({ from, to })
    .filter(([, end]) => !Number.isSafeInteger(end) && !isOneExpression(end))
    .map(([end]) => ({ path: [...path, end], message: `${end} must be a whole number, or one \${{ }} alone` }));
  if (wrong.length > 0 || typeof from !== 'number' || typeof to !== 'number') return wrong;
  return tooMany(Math.ceil((to - from) / step), path);
}

function judgeMatrix(matrix: Record<string, JsonValue>, path: Path): Finding[] {
  const lists = Object.entries(matrix);
  if (lists.length === 0) return [{ path, message: 'matrix has no list' }];
  const wrong = lists
    .filter(([, list]) => !Array.isArray(list) && !isOneExpression(list))
    .map(([name]) => ({ path: [...path, name], message: `${name} must be a list, or one \${{ }} alone` }));
  if (wrong.length > 0) return wrong;
  // What is not known yet may have one element.
  return tooMany(
    lists.reduce((product, [, list]) => product * (Array.isArray(list) ? list.length : 1), 1),
    path,
  );
}

function tooMany(count: number, path: Path): Finding[] {
  if (count <= maxListLength) return [];
  return [
    { path, message: `these are ${count} items, more than ${maxListLength}; split them over steps or child runs` },
  ];
}

function isOneExpression(value: unknown): boolean {
  if (typeof value !== 'string') return false;
  const split = splitTemplate(value);
  // What does not parse is told as an expression.
  return !split.ok || (split.segments.length === 1 && split.segments.every((segment) => 'source' in segment));
}

/** The name of the item must not take that of something else. */
export const loopVariable: Rule = {
  name: 'loop-variable',
  check: ({ steps }) =>
    steps.flatMap(({ spec, path }) => {
      const as = spec.forEach?.as;
      if (as === undefined) return [];
      const at = [...path, 'forEach', 'as'];
      if (isReserved(as)) return [{ path: at, message: reservedMessage(as) }];
      if (!taken.has(as)) return [];
      return [{ path: at, message: `"${as}" means something else in expressions; choose another name` }];
    }),
};

const taken = new Set([...contextNames, 'event', 'index']);
