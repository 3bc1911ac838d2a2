import type { JsonValue } from '../../../crds/json.ts';
import { aKind } from './values.ts';
import { inferType } from './infer.ts';
import { maxCost } from './limits.ts';
import { asMacro, children, countNodes, type Node, parseExpression } from './parse.ts';
import type { Scope } from './scope.ts';
import { splitTemplate } from './segments.ts';
import { type CelType, dyn, join, listOf, mapOf } from './celtype.ts';

/** One mistake in an expression. */
export interface ExpressionProblem {
  /** What is wrong and what to do. */
  message: string;
  /** 0-based offset in the text that was checked. */
  offset: number;
  rule: 'expression-syntax' | 'expression-type' | 'expression-reference' | 'expression-cost';
}

/** Checks a bare CEL expression that must yield a boolean. */
export function checkCondition(source: string, scope: Scope): ExpressionProblem[] {
  const problems: ExpressionProblem[] = [];
  const type = checkExpression(source, 0, scope, problems);
  if (type !== null && type.kind !== 'bool' && type.kind !== 'dyn')
    problems.push({
      message: `the condition is ${aKind(type.kind)}, not true or false`,
      offset: leadingSpace(source),
      rule: 'expression-type',
    });
  return inOrder(problems);
}

/**
 * Checks every `${{ }}` of a string that may become any value. Condition calls are not allowed there, whatever the scope
 * says.
 */
export function checkTemplate(text: string, scope: Scope): ExpressionProblem[] {
  return checkSegments(text, scope, false);
}

/** Checks a string that must become text (`compileText`): a list or map is wrong even when it is the only expression. */
export function checkText(text: string, scope: Scope): ExpressionProblem[] {
  return checkSegments(text, scope, true);
}

function checkSegments(text: string, scope: Scope, mustBeText: boolean): ExpressionProblem[] {
  const split = splitTemplate(text);
  if (!split.ok) return [{ message: split.message, offset: split.offset, rule: 'expression-syntax' }];
  const problems: ExpressionProblem[] = [];
  if (split.segments.every((segment) => 'text' in segment)) return problems;
  const here = { ...scope, calls: false };
  for (const segment of split.segments) {
    if ('text' in segment) continue;
    const type = checkExpression(segment.source, segment.offset, here, problems);
    if (type === null) continue;
    const offset = segment.offset + leadingSpace(segment.source);
    if (type.kind === 'optional')
      problems.push({ message: 'the value is optional; end it with .orValue(…)', offset, rule: 'expression-type' });
    else if (
      (mustBeText || split.segments.length > 1) &&
      (type.kind === 'list' || type.kind === 'map' || type.kind === 'null')
    )
      problems.push({
        message: `${aKind(type.kind)} cannot stand in text${type.kind === 'null' ? '' : '; use toJson(…)'}`,
        offset,
        rule: 'expression-type',
      });
  }
  return inOrder(problems);
}

/**
 * Checks a text that must be one `${{ }}` alone, which is for the caller to see: what `forEach` walks, or its ends.
 * @param accepted kinds of value that it may yield
 * @param wanted these kinds in a sentence
 */
export function checkOnly(
  text: string,
  scope: Scope,
  { accepted, wanted }: { accepted: readonly CelType['kind'][]; wanted: string },
): ExpressionProblem[] {
  const split = splitTemplate(text);
  const only = split.ok && split.segments.length === 1 ? split.segments[0] : undefined;
  if (split.ok && (only === undefined || 'text' in only)) return [];
  const problems = checkTemplate(text, scope);
  const { kind } = typeOfText(text, scope);
  if (problems.length > 0 || kind === 'dyn' || accepted.includes(kind)) return problems;
  return [{ message: `it is ${aKind(kind)}, not ${wanted}`, offset: text.indexOf('${{') + 3, rule: 'expression-type' }];
}

/** The type of a JSON value whose strings may hold `${{ }}`; mistakes in them are for the checks. */
export function typeOfValue(value: JsonValue | undefined, scope: Scope): CelType {
  if (typeof value === 'string') return typeOfText(value, scope);
  if (typeof value === 'number') return { kind: Number.isInteger(value) ? 'int' : 'double' };
  if (typeof value === 'boolean') return { kind: 'bool' };
  if (value === null || value === undefined) return dyn;
  if (!Array.isArray(value)) {
    return mapOf(Object.fromEntries(Object.entries(value).map(([key, one]) => [key, typeOfValue(one, scope)])), true);
  }
  const types = value.map((one) => typeOfValue(one, scope));
  return listOf(types.length === 0 ? dyn : types.reduce(join), types.length);
}

function typeOfText(text: string, scope: Scope): CelType {
  const split = splitTemplate(text);
  const only = split.ok && split.segments.length === 1 ? split.segments[0] : undefined;
  if (only === undefined || 'text' in only) return { kind: 'string' };
  return checkExpression(only.source, 0, { ...scope, calls: false }, []) ?? dyn;
}

/** The type of the expression, or null when it does not parse. */
function checkExpression(source: string, base: number, scope: Scope, problems: ExpressionProblem[]): CelType | null {
  const parsed = parseExpression(source);
  if (!parsed.ok) {
    problems.push({ message: parsed.message, offset: base + parsed.offset, rule: 'expression-syntax' });
    return null;
  }
  let longest = 1;
  const type = inferType(
    parsed.ast,
    { scope, variables: new Map() },
    {
      report: (rule, offset, message) => problems.push({ message, offset: base + offset, rule }),
      walks: (_macro, length) => {
        longest = Math.max(longest, length);
      },
    },
  );
  const depth = macroDepth(parsed.ast);
  const nodes = countNodes(parsed.ast);
  const cost = longest ** depth * nodes;
  if (cost > maxCost)
    problems.push({
      message:
        `it may cost ${cost.toExponential(1)} operations (lists of up to ${longest} walked ${depth} deep by ${nodes} ` +
        `operations), more than ${maxCost}; give the lists a maxItems in their schema or split the work over steps`,
      offset: base + leadingSpace(source),
      rule: 'expression-cost',
    });
  return type;
}

/** How deep macros lie in each other. A macro that yields another's list lies beside it, not in it. */
function macroDepth(node: Node): number {
  const macro = asMacro(node);
  if (macro === null) return children(node).reduce((deepest, child) => Math.max(deepest, macroDepth(child)), 0);
  const inside = macro.body.reduce((deepest, body) => Math.max(deepest, macroDepth(body)), 0);
  return Math.max(1 + inside, macroDepth(macro.receiver));
}

function leadingSpace(source: string): number {
  return source.length - source.trimStart().length;
}

function inOrder(problems: ExpressionProblem[]): ExpressionProblem[] {
  return problems.toSorted((a, b) => a.offset - b.offset);
}
