import type { JsonValue } from '../../../crds/json.ts';
import type { Code, Frame } from './code.ts';
import { compileNode } from './evaluate.ts';
import { spendBytes, utf8Length } from './limits.ts';
import { parseExpression } from './parse.ts';
import { findReferences } from './references.ts';
import { splitTemplate } from './segments.ts';
import {
  type Condition,
  type ConditionCalls,
  type ConditionFacts,
  type ExpressionContext,
  ExpressionError,
  type Template,
  type TextTemplate,
} from './types.ts';
import { aKind, kindOf, setKey, toJson, toText } from './values.ts';

/**
 * Compiles a bare CEL expression that yields a boolean. Compile once, evaluate often. `locals`, here and below: the names
 * that the context's `locals` have where it is evaluated.
 * @throws ExpressionError when it does not parse or calls what does not exist; lint says so before, with a position.
 */
export function compileCondition(source: string, locals: readonly string[] = []): Condition {
  const { code, steps, calls } = compileExpression(source, true, locals);
  return {
    source,
    steps,
    calls,
    evaluate: (context, facts) => {
      const frame = newFrame(context, facts);
      return guarded(source, () => {
        const value = code(frame);
        if (typeof value !== 'boolean') throw new ExpressionError(`it is ${aKind(kindOf(value))}, not true or false`);
        return value;
      });
    },
  };
}

/**
 * Compiles a JSON value whose strings, at any depth, may hold `${{ }}`; keys are as they are.
 * @throws ExpressionError as `compileCondition` does.
 */
export function compileTemplate(value: JsonValue, locals: readonly string[] = []): Template {
  const steps = new Set<string>();
  const produce = compileValue(value, { steps, locals });
  return { source: value, steps: [...steps], evaluate: (context) => produce(newFrame(context, undefined)) };
}

/**
 * Compiles a template that must yield text.
 * @throws ExpressionError as `compileCondition` does.
 */
export function compileText(source: string, locals: readonly string[] = []): TextTemplate {
  const steps = new Set<string>();
  const parts = compileParts(source, { steps, locals });
  return { source, steps: [...steps], evaluate: (context) => joinParts(parts, newFrame(context, undefined)) };
}

type Part = string | { source: string; code: Code };
type Produce = (frame: Frame) => JsonValue;

/** Where the parts of a template stand; every step that they read is added to `steps`. */
interface Around {
  steps: Set<string>;
  locals: readonly string[];
}

function newFrame(context: ExpressionContext, facts: ConditionFacts | undefined): Frame {
  return { context, facts, slots: [], cost: 0, bytes: 0 };
}

function compileExpression(
  source: string,
  calls: boolean,
  locals: readonly string[],
): { code: Code; steps: string[]; calls: ConditionCalls } {
  const parsed = parseExpression(source);
  if (!parsed.ok) throw new ExpressionError(`cannot read \`${shorten(source)}\`: ${parsed.message}`);
  const code = guarded(source, () => compileNode(parsed.ast, { source, variables: [], locals, calls }));
  return { code, ...findReferences(parsed.ast) };
}

function compileValue(value: JsonValue, around: Around): Produce {
  if (typeof value === 'string') return compileString(value, around);
  if (value === null || typeof value !== 'object') return () => value;
  if (Array.isArray(value)) {
    const items = value.map((item) => compileValue(item, around));
    return (frame) => items.map((item) => item(frame));
  }
  const entries = Object.entries(value).map(([key, item]) => [key, compileValue(item, around)] as const);
  return (frame) => {
    const result: { [key: string]: JsonValue } = {};
    for (const [key, produce] of entries) setKey(result, key, produce(frame));
    return result;
  };
}

function compileString(text: string, around: Around): Produce {
  const parts = compileParts(text, around);
  const only = parts[0];
  if (parts.length !== 1 || only === undefined || typeof only === 'string') return (frame) => joinParts(parts, frame);
  return (frame) => evaluatePart(only, frame, toJson);
}

function compileParts(text: string, around: Around): Part[] {
  const split = splitTemplate(text);
  if (!split.ok) throw new ExpressionError(`cannot read ${JSON.stringify(shorten(text))}: ${split.message}`);
  return split.segments.map((segment) => {
    if ('text' in segment) return segment.text;
    const { code, steps: read } = compileExpression(segment.source, false, around.locals);
    for (const step of read) around.steps.add(step);
    return { source: segment.source, code };
  });
}

function joinParts(parts: Part[], frame: Frame): string {
  let text = '';
  for (const part of parts) {
    if (typeof part === 'string') {
      spendBytes(frame, utf8Length(part));
      text += part;
    } else text += evaluatePart(part, frame, toText);
  }
  return text;
}

function evaluatePart<T>(
  part: { source: string; code: Code },
  frame: Frame,
  convert: (value: ReturnType<Code>, frame: Frame) => T,
): T {
  // Cost is limited for each expression, the size for the whole template.
  frame.cost = 0;
  return guarded(part.source, () => convert(part.code(frame), frame));
}

/** Runs and makes of every failure an ExpressionError that names the expression. */
function guarded<T>(source: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof ExpressionError) {
      const named = `\`${shorten(source)}\`: `;
      // An operation that is the whole expression is named already.
      throw error.message.startsWith(named) ? error : new ExpressionError(`${named}${error.message}`, { cause: error });
    }
    if (error instanceof RangeError)
      throw new ExpressionError(`\`${shorten(source)}\` is nested too deeply`, { cause: error });
    throw error;
  }
}

function shorten(source: string): string {
  const text = source.trim().replace(/\s+/g, ' ');
  return text.length > 120 ? `${text.slice(0, 119)}…` : text;
}
