import { type CelType, dyn, isNumeric, join, mapOf } from './celtype.ts';
import { accepts, compilePattern, findFunctions, unknownFunction } from './functions.ts';
import { maxListLength } from './limits.ts';
import { asMacro, type Macro, type Node } from './parse.ts';
import {
  asStep,
  asStepField,
  conditionCalls,
  contextNames,
  errorMisuse,
  hidesContext,
  statusStep,
  stepMisuse,
  stepsMisuse,
} from './references.ts';
import { errorType, outputsType, type Scope, variableType } from './scope.ts';
import { suggest } from './suggest.ts';
import { ExpressionError } from './types.ts';
import { aKind, setKey } from './values.ts';

type InferRule = 'expression-type' | 'expression-reference';

export interface Inference {
  /** Told of every mistake, with its offset in the source. */
  report(rule: InferRule, offset: number, message: string): void;
  /** Told of every macro and the longest list it may walk. */
  walks(macro: Macro, longest: number): void;
}

const bool: CelType = { kind: 'bool' };

/** Where an expression stands: what it may refer to, and the macro variables around it. */
export interface Place {
  scope: Scope;
  variables: ReadonlyMap<string, CelType>;
}

/** The type of an expression. A mistake is reported and its type is dyn, so that each is told once. */
export function inferType(node: Node, place: Place, inference: Inference): CelType {
  const infer = (operand: Node) => inferType(operand, place, inference);
  const wrong = (message: string, at: Node = node): CelType => {
    inference.report('expression-type', at.start, message);
    return dyn;
  };
  const demandBool = (operand: Node): void => {
    const type = infer(operand);
    if (type.kind !== 'bool' && type.kind !== 'dyn') wrong(`this is ${aKind(type.kind)}, not true or false`, operand);
  };
  switch (node.op) {
    case 'value':
      return literalType(node.args) ?? wrong('bytes (b"…") and unsigned integers (1u) do not exist here');
    case 'id':
      return contextType(node.args, node, place, inference);
    case '.':
    case '.?':
    case '[]':
    case '[?]':
      return accessType(node, place, inference);
    case 'call':
    case 'rcall':
      return callType(node, place, inference);
    case 'list': {
      const types = node.args.map(infer);
      const items = types.length === 0 ? dyn : types.reduce(join);
      return { kind: 'list', items, max: types.length };
    }
    case 'map': {
      const fields: Record<string, CelType> = {};
      let closed = true;
      for (const [key, value] of node.args) {
        const keyType = infer(key);
        if (keyType.kind !== 'string' && keyType.kind !== 'dyn')
          wrong(`the key of a map is ${aKind(keyType.kind)}, not a string`, key);
        const valueType = infer(value);
        if (key.op === 'value' && typeof key.args === 'string') setKey(fields, key.args, valueType);
        else closed = false;
      }
      return mapOf(fields, closed);
    }
    case '?:':
      demandBool(node.args[0]);
      return join(infer(node.args[1]), infer(node.args[2]));
    case '&&':
    case '||':
      node.args.forEach(demandBool);
      return bool;
    case '!_':
      demandBool(node.args);
      return bool;
    case '-_': {
      const type = infer(node.args);
      return isNumeric(type) || type.kind === 'dyn' ? type : wrong(`negates ${aKind(type.kind)}`);
    }
    default: {
      const [left, right] = [infer(node.args[0]), infer(node.args[1])];
      return binaryType(node.op, left, right) ?? wrong(`no operation ${left.kind} ${node.op} ${right.kind}`);
    }
  }
}

function literalType(value: unknown): CelType | null {
  switch (typeof value) {
    case 'string':
      return { kind: 'string' };
    case 'boolean':
      return bool;
    case 'bigint':
      return { kind: 'int' };
    case 'number':
      return { kind: 'double' };
    default:
      return value === null ? { kind: 'null' } : null;
  }
}

function contextType(name: string, node: Node, place: Place, inference: Inference): CelType {
  const type = place.variables.get(name) ?? variableType(place.scope, name);
  if (type !== undefined) return type;
  inference.report('expression-reference', node.start, unknownVariable(name, place));
  return dyn;
}

function unknownVariable(name: string, { scope: { extras }, variables }: Place): string {
  if (name === 'steps') return stepsMisuse;
  if (name === 'error' || name === 'attempt') return errorMisuse[name];
  if (extras.itemsOnly?.includes(name)) return `${name} is known only to the items, not in the step's if and forEach`;
  const known = [...variables.keys(), ...Object.keys(extras.locals ?? {}), ...contextNames];
  return `no variable named ${name}${suggest(name, known)}`;
}

function accessType(node: Node & { op: '.' | '.?' | '[]' | '[?]' }, place: Place, inference: Inference): CelType {
  const step = asStepField(node);
  if (step !== null) {
    const type = stepFieldType(step, node, place, inference);
    return node.op === '.?' ? { kind: 'optional', of: type } : type;
  }
  if (asStep(node) !== null) {
    inference.report('expression-reference', node.pos, stepMisuse);
    return dyn;
  }
  const [container, index] = node.args;
  const outer = inferType(container, place, inference);
  const optional = node.op === '.?' || node.op === '[?]' || outer.kind === 'optional';
  const type = outer.kind === 'optional' ? outer.of : outer;
  const key = typeof index === 'string' ? index : index.op === 'value' ? index.args : null;
  const keyType = typeof index === 'string' ? ({ kind: 'string' } as const) : inferType(index, place, inference);
  const name = typeof key === 'string' ? key : '';
  const selected = selectType(type, typeof key === 'string' ? key : null, keyType);
  if (typeof selected !== 'string') return optional ? { kind: 'optional', of: selected } : selected;
  if (container.op === 'id' && container.args === 'run' && (key === 'outcome' || key === 'error')) {
    inference.report('expression-reference', node.pos, `run.${key} is known only in finally and compensate`);
    return dyn;
  }
  if (type.kind === 'map' && keyType.kind === 'string') {
    // `.?` asks whether a key is there, but a key that cannot be there is still a slip of the pen.
    inference.report(
      'expression-reference',
      node.pos,
      `${describe(container)} has no ${name}${suggest(name, Object.keys(type.fields))}`,
    );
  } else inference.report('expression-type', node.pos, selected);
  return dyn;
}

/** The type of what is selected, or why nothing can be. */
function selectType(type: CelType, key: string | null, keyType: CelType): CelType | string {
  if (type.kind === 'dyn' || type.kind === 'null') return dyn;
  if (type.kind === 'list')
    return keyType.kind === 'int' || keyType.kind === 'double' || keyType.kind === 'dyn'
      ? type.items
      : `a list has no ${key ?? keyType.kind}; its index is an int`;
  if (type.kind !== 'map') return `${aKind(type.kind)} has no ${key ?? 'elements'}`;
  if (keyType.kind !== 'string' && keyType.kind !== 'dyn') return `the keys of a map are strings, not ${keyType.kind}`;
  if (key === null) return dyn;
  if (Object.hasOwn(type.fields, key)) return type.fields[key] ?? dyn;
  return type.closed ? 'missing' : dyn;
}

function stepFieldType(
  { step, field }: { step: string; field: string },
  node: Node & { op: '.' | '.?' | '[]' | '[?]' },
  place: Place,
  inference: Inference,
): CelType {
  const outputs = outputsType(place.scope, step);
  if (outputs === undefined) {
    inference.report('expression-reference', node.args[0].pos, unknownStep(step, place));
    return dyn;
  }
  if (field === 'outputs') return outputs;
  if (field === 'phase') return { kind: 'string' };
  if (field === 'error') return errorType;
  inference.report('expression-reference', node.pos, stepMisuse);
  return dyn;
}

/** Null when there is no such operation. */
function binaryType(op: string, a: CelType, b: CelType): CelType | null {
  const open = a.kind === 'dyn' || b.kind === 'dyn';
  switch (op) {
    case '==':
    case '!=':
      return open || a.kind === b.kind || a.kind === 'null' || b.kind === 'null' || (isNumeric(a) && isNumeric(b))
        ? bool
        : null;
    case '<':
    case '<=':
    case '>':
    case '>=':
      if (!isOrdered(a) || !isOrdered(b)) return null;
      return open || a.kind === b.kind || (isNumeric(a) && isNumeric(b)) ? bool : null;
    case 'in':
      return b.kind === 'list' || b.kind === 'dyn' || (b.kind === 'map' && (a.kind === 'string' || a.kind === 'dyn'))
        ? bool
        : null;
    default:
      return arithmeticType(op, a, b);
  }
}

function isOrdered(type: CelType): boolean {
  return isNumeric(type) || type.kind === 'string' || type.kind === 'bool' || type.kind === 'dyn';
}

function arithmeticType(op: string, a: CelType, b: CelType): CelType | null {
  // A double of the schema may hold an int, so `%` is left to the run.
  if (isNumeric(a) && isNumeric(b)) return a.kind === 'int' && b.kind === 'int' ? a : { kind: 'double' };
  const fits = (type: CelType) =>
    type.kind === 'dyn' || isNumeric(type) || (op === '+' && (type.kind === 'string' || type.kind === 'list'));
  if (a.kind === 'dyn' || b.kind === 'dyn') return fits(a) && fits(b) ? dyn : null;
  if (op !== '+') return null;
  if (a.kind === 'string' && b.kind === 'string') return a;
  if (a.kind === 'list' && b.kind === 'list')
    return { kind: 'list', items: join(a.items, b.items), max: Math.min(a.max + b.max, maxListLength) };
  return null;
}

function callType(node: Node & { op: 'call' | 'rcall' }, place: Place, inference: Inference): CelType {
  const macro = asMacro(node);
  if (macro !== null) return macroType(macro, node, place, inference);
  const name = node.args[0];
  const args = node.op === 'call' ? node.args[1] : [node.args[1], ...node.args[2]];
  if (node.op === 'call' && name === 'has') {
    const field = args[0];
    if (field === undefined || (field.op !== '.' && field.op !== '.?'))
      inference.report('expression-type', node.start, 'has() takes a field, as in has(inputs.region)');
    else inferType(field, place, inference);
    return bool;
  }
  if (node.op === 'call' && conditionCalls.includes(name)) return conditionCallType(node, place, inference);
  const types = args.map((arg) => inferType(arg, place, inference));
  const [receiver = dyn, alternative = dyn] = types;
  if (node.op === 'rcall' && (name === 'or' || name === 'orValue') && types.length === 2) {
    if (receiver.kind === 'optional') return name === 'or' ? receiver : join(receiver.of, alternative);
    if (receiver.kind !== 'dyn')
      inference.report('expression-type', node.start, `${name}() is for optional values: select the field with \`.?\``);
    return dyn;
  }
  const form = node.op === 'call' ? 'function' : 'method';
  const overloads = findFunctions(form, name, args.length);
  if (overloads.length === 0) {
    const given = form === 'method' ? args.length - 1 : args.length;
    inference.report('expression-reference', node.start, unknownFunction(form, name, given));
    return dyn;
  }
  const found = overloads.find((f) => types.every((type, i) => type.kind === 'dyn' || accepts(f, i, type.kind)));
  if (found === undefined) {
    inference.report(
      'expression-type',
      node.start,
      `${name}() is not for ${types.map((type) => type.kind).join(', ')}`,
    );
    return dyn;
  }
  checkPattern(name, args[1], inference);
  if (found.returns === 'list') {
    if (receiver.kind === 'list') return receiver;
    return { kind: 'list', items: { kind: 'string' }, max: maxListLength };
  }
  return found.returns === 'map' || found.returns === 'optional' ? dyn : { kind: found.returns };
}

function checkPattern(name: string, pattern: Node | undefined, inference: Inference): void {
  if (name !== 'matches' || pattern?.op !== 'value' || typeof pattern.args !== 'string') return;
  try {
    compilePattern(pattern.args);
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error;
    inference.report('expression-type', pattern.start, error.message);
  }
}

function conditionCallType(node: Node & { op: 'call' }, place: Place, inference: Inference): CelType {
  const [name, args] = node.args;
  const wrong = (message: string) => inference.report('expression-reference', node.start, message);
  if (!place.scope.calls) wrong(`${name}() may be called only in a step's \`if\``);
  else if (name === 'status') {
    const step = statusStep(node);
    if (step === null) wrong("status() takes one literal step name, as in status('build')");
    else if (!Object.hasOwn(place.scope.steps, step)) wrong(unknownStep(step, place));
  } else if (args.length !== 0) wrong(`${name}() takes no arguments`);
  return name === 'status' ? { kind: 'string' } : bool;
}

function macroType(macro: Macro, node: Node, place: Place, inference: Inference): CelType {
  const list = inferType(macro.receiver, place, inference);
  const hides = contextNames.includes(macro.variable) || Object.hasOwn(place.scope.extras.locals ?? {}, macro.variable);
  if (hides) inference.report('expression-reference', node.start, hidesContext(macro));
  if (list.kind !== 'list' && list.kind !== 'map' && list.kind !== 'dyn')
    inference.report(
      'expression-type',
      macro.receiver.start,
      `${macro.name}() walks a list or the keys of a map, not ${aKind(list.kind)}`,
    );
  const longest =
    list.kind === 'list'
      ? list.max
      : list.kind === 'map' && list.closed
        ? Object.keys(list.fields).length
        : maxListLength;
  inference.walks(macro, longest);
  const element: CelType = list.kind === 'list' ? list.items : list.kind === 'map' ? { kind: 'string' } : dyn;
  const inner = { ...place, variables: new Map(place.variables).set(macro.variable, element) };
  const types = macro.body.map((body) => inferType(body, inner, inference));
  const tests = macro.name === 'map' ? macro.body.slice(0, -1) : macro.body;
  for (const [i, test] of tests.entries()) {
    const kind = types[i]?.kind ?? 'dyn';
    if (kind !== 'bool' && kind !== 'dyn')
      inference.report(
        'expression-type',
        test.start,
        `the test of ${macro.name}() is ${aKind(kind)}, not true or false`,
      );
  }
  if (macro.name === 'map') return { kind: 'list', items: types.at(-1) ?? dyn, max: longest };
  if (macro.name === 'filter') return { kind: 'list', items: element, max: longest };
  return bool;
}

function unknownStep(step: string, place: Place): string {
  return `no step named ${step} can be read here${suggest(step, Object.keys(place.scope.steps))}`;
}

/** A node as a user would name it. */
function describe(node: Node): string {
  const text = node.input.slice(node.start, node.end).replace(/\s+/g, ' ');
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}
