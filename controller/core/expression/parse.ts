import { type ASTNode, Environment, ParseError } from '@marcbachmann/cel-js';
import { maxSourceLength } from './limits.ts';

/** A node of a parsed expression; `start` and `end` are offsets in its source. */
export type Node = ASTNode;

export type Parsed = { ok: true; ast: Node } | { ok: false; message: string; offset: number };

// Only the grammar is the library's. Its evaluator has no limits, takes JSON integers for doubles and matches with
// backtracking regular expressions; its checker stops at the first mistake and knows no null. See evaluate.ts, infer.ts.
const grammar = new Environment({
  enableOptionalTypes: true,
  limits: { maxAstNodes: 1000, maxDepth: 64, maxListElements: 1000, maxMapEntries: 1000, maxCallArguments: 8 },
});

const limits: Record<string, string> = {
  maxAstNodes: 'the expression has more than 1000 operations and operands',
  maxDepth: 'the expression is nested too deeply',
  maxListElements: 'the list has more than 1000 elements',
  maxMapEntries: 'the map has more than 1000 entries',
  maxCallArguments: 'the call has more than 8 arguments',
};

const tokens: Record<string, string> = {
  EOF: 'the end',
  NUMBER: 'a number',
  STRING: 'a string',
  BOOLEAN: 'true or false',
  NULL: 'null',
  IDENTIFIER: 'a name',
  LPAREN: '`(`',
  RPAREN: '`)`',
  LBRACKET: '`[`',
  RBRACKET: '`]`',
  LBRACE: '`{`',
  RBRACE: '`}`',
  DOT: '`.`',
  COMMA: '`,`',
  COLON: '`:`',
  QUESTION: '`?`',
};

/** Reads one CEL expression. A mistake is a value. */
export function parseExpression(source: string): Parsed {
  if (source.trim() === '') return { ok: false, message: 'the expression is empty', offset: 0 };
  if (source.length > maxSourceLength)
    return { ok: false, message: `the expression is longer than ${maxSourceLength} characters`, offset: 0 };
  try {
    return { ok: true, ast: grammar.parse(source).ast };
  } catch (error) {
    if (error instanceof ParseError)
      return { ok: false, message: explain(error.summary), offset: error.range?.start ?? 0 };
    // The parser recurses without a limit on chains of `!` and `-`.
    if (error instanceof RangeError) return { ok: false, message: 'the expression is nested too deeply', offset: 0 };
    throw error;
  }
}

function explain(summary: string): string {
  if (summary === 'Unexpected character: =') return 'unexpected `=`; to compare, write `==`';
  if (summary === 'Unexpected character: &') return 'unexpected `&`; for "and", write `&&`';
  if (summary === 'Unexpected character: |') return 'unexpected `|`; for "or", write `||`';
  const limit = limits[/^Exceeded (\w+)/.exec(summary)?.[1] ?? ''];
  if (limit !== undefined) return limit;
  const text = summary.replace(/\b[A-Z]{2,}\b/g, (name) => tokens[name] ?? name);
  return text.charAt(0).toLowerCase() + text.slice(1);
}

/** The operands of a node, in source order. */
export function children(node: Node): Node[] {
  switch (node.op) {
    case 'value':
    case 'id':
      return [];
    case '.':
    case '.?':
      return [node.args[0]];
    case 'call':
      return node.args[1];
    case 'rcall':
      return [node.args[1], ...node.args[2]];
    case 'map':
      return node.args.flat();
    case '!_':
    case '-_':
      return [node.args];
    default:
      return node.args;
  }
}

/** Number of nodes in the expression. */
export function countNodes(node: Node): number {
  return children(node).reduce((sum, child) => sum + countNodes(child), 1);
}

const macroArguments: Record<string, readonly number[]> = {
  all: [2],
  exists: [2],
  exists_one: [2],
  filter: [2],
  map: [2, 3],
};

/** A call that evaluates its arguments once for each element of a list (or key of a map). */
export interface Macro {
  name: string;
  receiver: Node;
  variable: string;
  body: Node[];
}

/** The macro that a node is, or null. */
export function asMacro(node: Node): Macro | null {
  if (node.op !== 'rcall') return null;
  const [name, receiver, args] = node.args;
  const [variable, ...body] = args;
  if (!Object.hasOwn(macroArguments, name) || !macroArguments[name]?.includes(args.length)) return null;
  return variable?.op === 'id' ? { name, receiver, variable: variable.args, body } : null;
}
