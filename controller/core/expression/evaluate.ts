import type { Code, Frame } from './code.ts';
import {
  accepts,
  compilePattern,
  type FunctionSpec,
  findFunctions,
  matches,
  optionalSelect,
  unknownFunction,
} from './functions.ts';
import { LimitError, spend } from './limits.ts';
import { compileMacro } from './macros.ts';
import { asMacro, countNodes, type Macro, type Node } from './parse.ts';
import {
  asStep,
  asStepField,
  conditionCalls,
  contextNames,
  errorMisuse,
  hidesContext,
  passesNull,
  statusStep,
  stepMisuse,
  stepsMisuse,
} from './references.ts';
import { suggest } from './suggest.ts';
import { ExpressionError, type StepView } from './types.ts';
import { compare, compute, equal, isMap, aKind, kindOf, none, Optional, read, setKey, type Value } from './values.ts';

interface Scope {
  source: string;
  /** Names of the macro variables in scope; the index is the slot. */
  variables: readonly string[];
  /** Names that the context's `locals` have: of a forEach. */
  locals: readonly string[];
  /** always(), failure() and status() may be called. */
  calls: boolean;
}

/**
 * Turns a parsed expression into closures: the tree is walked once, and evaluating reads the context in place. Null is
 * let through below a step's outputs (see `passesNull`), JSON integers are ints, and every list walked is paid for.
 * @throws ExpressionError for names and calls that do not exist.
 */
export function compileNode(node: Node, scope: Scope): Code {
  switch (node.op) {
    case 'value':
      return literal(node.args);
    case 'id':
      return variable(node.args, scope);
    case '.':
    case '.?':
    case '[]':
    case '[?]':
      return access(node, scope);
    case 'call':
    case 'rcall':
      return call(node, scope);
    case 'list': {
      const items = node.args.map((item) => compileNode(item, scope));
      return (frame) => items.map((item) => item(frame));
    }
    case 'map':
      return mapLiteral(node.args, scope);
    case '?:': {
      const [condition, whenTrue, whenFalse] = node.args.map((part) => compileNode(part, scope)) as [Code, Code, Code];
      return (frame) => (bool(condition(frame), node.args[0], scope) ? whenTrue(frame) : whenFalse(frame));
    }
    case '&&':
      return logical(false, node.args, scope);
    case '||':
      return logical(true, node.args, scope);
    case '!_': {
      const operand = compileNode(node.args, scope);
      return (frame) => !bool(operand(frame), node.args, scope);
    }
    case '-_': {
      const operand = compileNode(node.args, scope);
      return (frame) => {
        const value = operand(frame);
        if (typeof value === 'bigint') return compute('-', 0n, value, frame);
        if (typeof value === 'number') return -value;
        throw new ExpressionError(`\`${textOf(node, scope)}\` negates ${aKind(kindOf(value))}`);
      };
    }
    default:
      return binary(node.op, node.args, node, scope);
  }
}

function literal(value: unknown): Code {
  if (value !== null && typeof value === 'object')
    throw new ExpressionError('bytes (b"…") and unsigned integers (1u) do not exist here');
  const constant = value as Value;
  return () => constant;
}

function variable(name: string, scope: Scope): Code {
  const slot = scope.variables.lastIndexOf(name);
  if (slot !== -1) return (frame) => frame.slots[slot] ?? null;
  if (scope.locals.includes(name)) return (frame) => local(frame, name);
  switch (name) {
    case 'steps':
      throw new ExpressionError(stepsMisuse);
    case 'inputs':
      return (frame) => frame.context.inputs;
    case 'environment':
      return (frame) => frame.context.environment;
    case 'run':
      return (frame) => frame.context.run;
    case 'workflow':
      return (frame) => frame.context.workflow;
    case 'error':
    case 'attempt':
      return (frame) => {
        const value = frame.context[name];
        if (value === undefined) throw new ExpressionError(errorMisuse[name]);
        return read(value);
      };
    default:
      throw new ExpressionError(`no variable named ${name}${suggest(name, [...scope.locals, ...contextNames])}`);
  }
}

function local({ context: { locals } }: Frame, name: string): Value {
  if (locals === undefined || !Object.hasOwn(locals, name))
    throw new ExpressionError(`${name} is known only in the items of a forEach`);
  return read(locals[name] ?? null);
}

function stepField(step: string, field: string): (frame: Frame) => Value {
  // A step without a view has not begun: the same as one that did not run.
  const view = (frame: Frame): StepView | undefined =>
    Object.hasOwn(frame.context.steps, step) ? frame.context.steps[step] : undefined;
  switch (field) {
    case 'outputs':
      return (frame) => view(frame)?.outputs ?? null;
    case 'error':
      return (frame) => view(frame)?.error ?? null;
    case 'phase':
      return (frame) => view(frame)?.phase ?? 'Pending';
    default:
      throw new ExpressionError(stepMisuse);
  }
}

function access(node: Node & { op: '.' | '.?' | '[]' | '[?]' }, scope: Scope): Code {
  const reference = asStepField(node);
  if (reference !== null) {
    const field = stepField(reference.step, reference.field);
    if (node.op === '.') return field;
    return (frame) => {
      const value = field(frame);
      return value === null ? none : new Optional(value);
    };
  }
  if (asStep(node) !== null) throw new ExpressionError(stepMisuse);
  const [container, index] = node.args;
  const left = compileNode(container, scope);
  const optional = node.op === '.?' || node.op === '[?]';
  if (typeof index === 'string') {
    if (optional) return (frame) => optionalSelect(left(frame), index);
    const nullable = passesNull(node);
    return (frame) => {
      const object = left(frame);
      if (isMap(object) && Object.hasOwn(object, index)) return read(object[index] ?? null);
      if (object === null && nullable) return null;
      if (object instanceof Optional) return optionalSelect(object, index);
      throw missing(object, index, container, scope);
    };
  }
  const key = compileNode(index, scope);
  if (optional) return (frame) => optionalSelect(left(frame), toIndex(key(frame)));
  const nullable = passesNull(node);
  return (frame) => {
    const object = left(frame);
    if (object === null && nullable) return null;
    const at = toIndex(key(frame));
    if (object instanceof Optional) return optionalSelect(object, at);
    if (Array.isArray(object) && typeof at === 'bigint') {
      const element = object[Number(at)];
      if (element !== undefined) return read(element);
    } else if (isMap(object) && typeof at === 'string' && Object.hasOwn(object, at)) return read(object[at] ?? null);
    throw missing(object, at, container, scope);
  };
}

function toIndex(key: Value): Value {
  return typeof key === 'number' && Number.isSafeInteger(key) ? BigInt(key) : key;
}

function missing(object: Value, key: Value, container: Node, scope: Scope): ExpressionError {
  const path = textOf(container, scope);
  if (Array.isArray(object))
    return typeof key === 'bigint'
      ? new ExpressionError(`\`${path}\` has ${object.length} elements, so none at ${key}`)
      : new ExpressionError(`\`${path}\` is a list; its index must be an int, not ${aKind(kindOf(key))}`);
  if (!isMap(object))
    return new ExpressionError(
      `\`${path}\` is ${aKind(kindOf(object))}, so it has no ${typeof key === 'object' ? 'elements' : key}`,
    );
  if (typeof key !== 'string') return new ExpressionError(`\`${path}\` is a map; its keys are strings`);
  const keys = Object.keys(object).slice(0, 20);
  return new ExpressionError(`\`${path}\` has no key ${key}${suggest(key, keys)}`);
}

function mapLiteral(entries: [Node, Node][], scope: Scope): Code {
  const compiled = entries.map(([key, value]) => [compileNode(key, scope), compileNode(value, scope)] as const);
  return (frame) => {
    const map: { [key: string]: Value } = {};
    for (const [keyCode, valueCode] of compiled) {
      const key = keyCode(frame);
      if (typeof key !== 'string')
        throw new ExpressionError(`the key of a map is ${aKind(kindOf(key))}; it must be a string`);
      setKey(map, key, valueCode(frame));
    }
    return map;
  };
}

function bool(value: Value, node: Node, scope: Scope): boolean {
  if (typeof value === 'boolean') return value;
  throw new ExpressionError(`\`${textOf(node, scope)}\` is ${aKind(kindOf(value))}, not true or false`);
}

/** `&&` and `||`: whichever operand decides makes an error of the other not matter, as CEL says. */
function logical(decisive: boolean, operands: [Node, Node], scope: Scope): Code {
  const [left, right] = operands.map((operand) => {
    const code = compileNode(operand, scope);
    return (frame: Frame) => bool(code(frame), operand, scope);
  }) as [(frame: Frame) => boolean, (frame: Frame) => boolean];
  return (frame) => {
    let first: boolean;
    try {
      first = left(frame);
    } catch (error) {
      if (error instanceof LimitError || right(frame) !== decisive) throw error;
      return decisive;
    }
    return first === decisive ? decisive : right(frame);
  };
}

function binary(op: string, operands: [Node, Node], node: Node, scope: Scope): Code {
  const [left, right] = operands.map((operand) => compileNode(operand, scope)) as [Code, Code];
  const refuse = (a: Value, b: Value) =>
    new ExpressionError(`\`${textOf(node, scope)}\`: no operation ${kindOf(a)} ${op} ${kindOf(b)}`);
  const ordered = (holds: (order: number) => boolean): Code => {
    return (frame) => {
      const [a, b] = [left(frame), right(frame)];
      const order = compare(a, b);
      if (order === null) throw refuse(a, b);
      return holds(order);
    };
  };
  switch (op) {
    case '==':
      return (frame) => equal(left(frame), right(frame), frame);
    case '!=':
      return (frame) => !equal(left(frame), right(frame), frame);
    case '<':
      return ordered((order) => order < 0);
    case '<=':
      return ordered((order) => order <= 0);
    case '>':
      return ordered((order) => order > 0);
    case '>=':
      return ordered((order) => order >= 0);
    case 'in':
      return (frame) => {
        const [value, container] = [left(frame), right(frame)];
        if (isMap(container)) return typeof value === 'string' && Object.hasOwn(container, value);
        if (!Array.isArray(container)) throw refuse(value, container);
        spend(frame, container.length >> 2);
        return container.some((element) => equal(value, element, frame));
      };
    default:
      return (frame) => {
        const [a, b] = [left(frame), right(frame)];
        const result = compute(op, a, b, frame);
        if (result === null) throw refuse(a, b);
        return result;
      };
  }
}

function call(node: Node & { op: 'call' | 'rcall' }, scope: Scope): Code {
  const macro = asMacro(node);
  if (macro !== null) return macroCall(macro, scope);
  const name = node.args[0];
  const args = node.op === 'call' ? node.args[1] : [node.args[1], ...node.args[2]];
  if (node.op === 'call' && name === 'has') return has(args[0], scope);
  if (node.op === 'call' && conditionCalls.includes(name)) return conditionCall(node, scope);
  if (node.op === 'rcall' && (name === 'or' || name === 'orValue') && args.length === 2)
    return orElse(name, args as [Node, Node], scope);
  const form = node.op === 'call' ? 'function' : 'method';
  const overloads = findFunctions(form, name, args.length);
  if (overloads.length === 0)
    throw new ExpressionError(unknownFunction(form, name, node.op === 'call' ? args.length : args.length - 1));
  const codes = args.map((arg) => compileNode(arg, scope));
  const pattern = args[1];
  if (name === 'matches' && pattern?.op === 'value' && typeof pattern.args === 'string') {
    const compiled = compilePattern(pattern.args);
    const receiver = codes[0] as Code;
    return (frame) => {
      const text = receiver(frame);
      if (typeof text !== 'string') throw new ExpressionError(`matches() is not for ${aKind(kindOf(text))}`);
      return matches(compiled, text, frame);
    };
  }
  return (frame) => {
    const values = codes.map((code) => code(frame));
    return pick(overloads, values).call(values, frame);
  };
}

function pick(overloads: readonly FunctionSpec[], values: Value[]): FunctionSpec {
  const found = overloads.find((f) => values.every((value, i) => accepts(f, i, kindOf(value))));
  if (found !== undefined) return found;
  const name = overloads[0]?.name ?? '';
  throw new ExpressionError(`${name}() is not for ${values.map(kindOf).join(', ')}`);
}

function conditionCall(node: Node & { op: 'call' }, scope: Scope): Code {
  const [name, args] = node.args;
  if (!scope.calls) throw new ExpressionError(`${name}() may be called only in an \`if\``);
  if (name === 'status') {
    const step = statusStep(node);
    if (step === null) throw new ExpressionError("status() takes one literal step name, as in status('build')");
    return stepField(step, 'phase');
  }
  if (args.length !== 0) throw new ExpressionError(`${name}() takes no arguments`);
  if (name === 'always') return () => true;
  return (frame) => {
    if (frame.facts === undefined) throw new ExpressionError("failure() may be called only in a step's `if`");
    return frame.facts.failure;
  };
}

function has(argument: Node | undefined, scope: Scope): Code {
  if (argument === undefined || (argument.op !== '.' && argument.op !== '.?'))
    throw new ExpressionError('has() takes a field, as in has(inputs.region)');
  const reference = asStepField(argument);
  if (reference !== null) {
    const field = stepField(reference.step, reference.field);
    return (frame) => field(frame) !== null;
  }
  const key = argument.args[1];
  const container = compileNode(argument.args[0], scope);
  return (frame) => {
    const object = container(frame);
    if (isMap(object) || object === null || object instanceof Optional) return optionalSelect(object, key) !== none;
    throw missing(object, key, argument.args[0], scope);
  };
}

function orElse(name: 'or' | 'orValue', [receiver, alternative]: [Node, Node], scope: Scope): Code {
  const [left, right] = [compileNode(receiver, scope), compileNode(alternative, scope)];
  return (frame) => {
    const optional = left(frame);
    if (!(optional instanceof Optional))
      throw new ExpressionError(`${name}() is for optional values: write \`.?\` in \`${textOf(receiver, scope)}\``);
    if (optional.value !== undefined) return name === 'or' ? optional : optional.value;
    return right(frame);
  };
}

function macroCall(macro: Macro, scope: Scope): Code {
  if (contextNames.includes(macro.variable) || scope.locals.includes(macro.variable))
    throw new ExpressionError(hidesContext(macro));
  const inner = { ...scope, variables: [...scope.variables, macro.variable] };
  const bodies = macro.body.map((body) => compileNode(body, inner));
  const [first, firstNode] = [bodies[0] as Code, macro.body[0] as Node];
  return compileMacro(macro.name, {
    receiver: compileNode(macro.receiver, scope),
    receiverText: textOf(macro.receiver, scope),
    slot: scope.variables.length,
    cost: macro.body.reduce((sum, body) => sum + countNodes(body), 0),
    test: macro.name === 'map' && bodies.length === 1 ? null : (frame) => bool(first(frame), firstNode, inner),
    transform: bodies.at(-1) as Code,
  });
}

function textOf(node: Node, scope: Scope): string {
  const text = scope.source.slice(node.start, node.end).replace(/\s+/g, ' ');
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}
