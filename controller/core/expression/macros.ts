import type { Code, Frame } from './code.ts';
import { LimitError, limitList, spend } from './limits.ts';
import { ExpressionError } from './types.ts';
import { isMap, aKind, kindOf, read, type Value } from './values.ts';

/** A macro with its operands compiled. */
export interface MacroParts {
  receiver: Code;
  /** The receiver as written, for messages. */
  receiverText: string;
  /** Where its variable lies in the frame. */
  slot: number;
  /** What one element costs: the nodes evaluated for it. */
  cost: number;
  /** The test of an element; null for `map` without a filter. */
  test: ((frame: Frame) => boolean) | null;
  /** What `map` makes of an element. */
  transform: Code;
}

type Test = (frame: Frame) => boolean;

/** `all`, `exists`, `exists_one`, `filter` and `map`, over a list or the keys of a map. */
export function compileMacro(name: string, parts: MacroParts): Code {
  const test = parts.test ?? (() => true);
  switch (name) {
    case 'map':
      return (frame) => {
        const result: Value[] = [];
        walk(parts, frame, () => {
          if (test(frame)) result.push(parts.transform(frame));
          return true;
        });
        return result;
      };
    case 'filter':
      return (frame) => {
        const result: Value[] = [];
        walk(parts, frame, (element) => {
          if (test(frame)) result.push(element);
          return true;
        });
        return result;
      };
    case 'exists_one':
      return (frame) => {
        let count = 0;
        walk(parts, frame, () => {
          if (test(frame)) count++;
          return true;
        });
        return count === 1;
      };
    default:
      return quantifier(name === 'exists', parts, test);
  }
}

/** Visits the elements, paying for each, until `visit` returns false. */
function walk(parts: MacroParts, frame: Frame, visit: (element: Value) => boolean): void {
  const value = parts.receiver(frame);
  const items = isMap(value) ? Object.keys(value) : value;
  if (!Array.isArray(items))
    throw new ExpressionError(`\`${parts.receiverText}\` is ${aKind(kindOf(value))}, not a list or map`);
  for (const item of limitList(items)) {
    spend(frame, parts.cost);
    const element = read(item);
    frame.slots[parts.slot] = element;
    if (!visit(element)) return;
  }
}

/** `exists` and `all`: one element that decides makes errors of the others not matter, as CEL says. */
function quantifier(decisive: boolean, parts: MacroParts, test: Test): Code {
  return (frame) => {
    let decided = false;
    let failure: unknown;
    walk(parts, frame, () => {
      try {
        decided = test(frame) === decisive;
      } catch (error) {
        if (error instanceof LimitError) throw error;
        failure ??= error;
      }
      return !decided;
    });
    if (decided) return decisive;
    if (failure !== undefined) throw failure;
    return !decisive;
  };
}
