import {
  Composer,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  type Node,
  Parser,
  type Scalar,
  type YAMLParseError,
} from 'yaml';
import type { JsonObject, JsonValue } from '../../../crds/json.ts';
import { checkNumber, maxDepth } from './json-limits.ts';
import { countCharacters, type Path, type Position, type Problem } from './position.ts';
import { ambiguity } from './scalars.ts';
import { sourceOffset } from './scalar-offset.ts';

/** Most values that aliases may stand for in one document; beyond is an alias bomb. */
const maxAliasedValues = 10_000;
/** Most syntax errors reported for one file: the rest follow from the first ones. */
const maxSyntaxErrors = 10;

export interface YamlFile {
  documents: YamlDocument[];
  syntax: (Position & { rule: string; message: string })[];
}

/** One document of a file, read as JSON. */
export interface YamlDocument {
  /** What it holds; unusable when there are problems. */
  value: JsonValue;
  problems: Problem[];
  /** `apiVersion` and `kind` of the root as written, found without reading the rest. */
  apiVersion: JsonValue | undefined;
  kind: JsonValue | undefined;
  /** Where a value, or the name of a field, is; of its nearest ancestor when there is no such path. */
  locate(path: Path, at?: 'key' | 'value', offset?: number): Position;
}

/** Reads all documents of a file. Never throws; bad input is `syntax` or `problems`. */
export function readYaml(text: string): YamlFile {
  const lines = new LineCounter();
  const flow = checkFlow(text);
  for (let i = text.indexOf('\n'); i !== -1; i = text.indexOf('\n', i + 1)) lines.addNewLine(i + 1);
  lines.lineStarts.unshift(0);
  const position = (offset: number): Position => {
    const { line } = lines.linePos(offset);
    const start = lines.lineStarts[line - 1] ?? 0;
    return { line, column: countCharacters(text.slice(start, offset)) + 1 };
  };
  if (flow) return { documents: [], syntax: [{ ...position(flow.offset), rule: flow.rule, message: flow.message }] };

  const syntax: YamlFile['syntax'] = [];
  const documents: YamlDocument[] = [];
  // Duplicate keys are found below: the package compares every key with every other.
  const composer = new Composer({ version: '1.2', uniqueKeys: false, logLevel: 'silent', merge: false });
  try {
    for (const document of composer.compose(new Parser().parse(text))) {
      const indent = findIndentError(document.errors, text);
      if (indent !== null) {
        syntax.push({ ...position(indent), rule: 'yaml-syntax', message: wrongIndent });
        continue;
      }
      for (const error of document.errors) {
        if (syntax.length >= maxSyntaxErrors) break;
        // The parser reports its own stack overflow as a mistake of the file, which it is.
        const overflow = error.message.includes('call stack');
        const message = overflow ? tooDeep : lowerFirst(error.message);
        syntax.push({ ...position(error.pos[0]), rule: overflow ? 'depth' : 'yaml-syntax', message });
      }
      if (document.errors.length === 0 && document.contents !== null) documents.push(read(document, text, position));
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    syntax.push({ line: 1, column: 1, rule: 'depth', message: tooDeep });
  }
  return { documents, syntax };
}

const wrongIndent =
  'the indent of this line differs from the lines it belongs to; what is on one level begins in the same column';

/** Where the line is whose indent is wrong, when that is the first mistake: the others only follow from it. */
function findIndentError(errors: readonly YAMLParseError[], text: string): number | null {
  const [first, second] = errors;
  if (first === undefined) return null;
  const lineOf = (offset: number) => {
    let at = text.lastIndexOf('\n', offset - 1) + 1;
    while (text[at] === ' ') at++;
    return at;
  };
  if (first.code === 'BAD_INDENT' && first.message.startsWith('All mapping items')) return lineOf(first.pos[0]);
  if (first.code === 'MISSING_CHAR' && first.message.startsWith('Sequence item without')) return lineOf(first.pos[0]);
  // A line that is too deep is read as more of the value above it, and that as a field's name over several lines.
  if (first.code !== 'BLOCK_AS_IMPLICIT_KEY' || second?.code !== 'MULTILINE_IMPLICIT_KEY') return null;
  return lineOf(second.pos[1] - 1);
}

const tooDeep = `nested deeper than ${maxDepth} levels`;

/** The parser recurses and recovers from every error: stop what would cost seconds before it starts. */
function checkFlow(text: string): { offset: number; rule: string; message: string } | null {
  let depth = 0;
  let offset = 0;
  let indicators = 0;
  let line = 0;
  for (const token of new Lexer().lex(text)) {
    if (token === '[' || token === '{') depth++;
    else if (token === ']' || token === '}') depth--;
    if (token === '\n') indicators = 0;
    else if (token === '-' || token === '?' || token === ':' || token.startsWith('&') || token.startsWith('!'))
      indicators++;
    if (depth > 2 * maxDepth || indicators > 4096) return { offset, rule: 'depth', message: tooDeep };
    if (depth < 0 && line++ > 100) return { offset, rule: 'yaml-syntax', message: 'more brackets closed than opened' };
    if (!control.has(token)) offset += token.length;
  }
  return null;
}

/** Tokens of the lexer that stand for no text: byte order mark, document start, flow end, a scalar follows. */
const control = new Set(['\u{FEFF}', '\x02', '\x18', '\x1f']);

function lowerFirst(message: string): string {
  return /^[A-Z][a-z]/.test(message) ? message[0]?.toLowerCase() + message.slice(1) : message;
}

type AnyDocument = Document.Parsed;

function read(document: AnyDocument, text: string, position: (offset: number) => Position): YamlDocument {
  const problems: Problem[] = [];
  const anchors = new Map<string, Node>();
  const root = document.contents as Node;
  if (document.directives?.yaml.explicit) {
    problems.push({
      path: [],
      rule: 'yaml-directive',
      message: 'drop the %YAML directive; files are read as YAML 1.2',
    });
  }
  let aliased = 0;

  function convert(node: Node | null | undefined, path: Path, depth: number, viaAlias: boolean): JsonValue {
    if (node === null || node === undefined) return null;
    if (viaAlias && ++aliased > maxAliasedValues) return null;
    if (depth > maxDepth) {
      problems.push({ path, rule: 'depth', message: tooDeep });
      return null;
    }
    if (isAlias(node)) {
      const target = anchors.get(node.source);
      if (target) return convert(target, path, depth + 1, true);
      problems.push({ path, rule: 'yaml-aliases', message: `no anchor &${node.source} comes before *${node.source}` });
      return null;
    }
    if (node.tag && !plainTags.has(node.tag)) {
      problems.push({ path, rule: 'yaml-tag', message: `tag ${node.tag} is not supported; quote the value instead` });
    }
    if (isScalar(node)) {
      if (node.anchor) anchors.set(node.anchor, node);
      return scalar(node, path);
    }
    if (isSeq(node)) {
      const list = node.items.map((item, i) => convert(item as Node, [...path, i], depth + 1, viaAlias));
      if (node.anchor) anchors.set(node.anchor, node);
      return list;
    }
    if (!isMap(node)) return null;
    // Null prototype would surprise deep equality; __proto__ is set as data by defineProperty.
    const object: JsonObject = {};
    const seen = new Set<string>();
    for (const pair of node.items) {
      const key = keyOf(pair.key as Node | null, path);
      if (key === null) continue;
      const at = [...path, key];
      if (seen.has(key)) {
        problems.push({ path: at, at: 'key', rule: 'yaml-duplicate-key', message: `"${key}" is written twice` });
        continue;
      }
      seen.add(key);
      const value = convert(pair.value as Node | null, at, depth + 1, viaAlias);
      Object.defineProperty(object, key, { value, enumerable: true, writable: true, configurable: true });
    }
    if (node.anchor) anchors.set(node.anchor, node);
    return object;
  }

  function keyOf(key: Node | null, path: Path): string | null {
    if (!key || !isScalar(key)) {
      problems.push({ path, rule: 'yaml-key', message: 'a field name must be text' });
      return null;
    }
    const name = typeof key.value === 'string' ? key.value : String(key.source ?? key.value);
    const reason = key.type === 'PLAIN' ? ambiguity(name) : null;
    const at = [...path, name];
    if (reason) {
      problems.push({
        path: at,
        at: 'key',
        rule: 'yaml-ambiguous-scalar',
        message: `the name ${name} is ${forNames(reason)}`,
      });
    } else if (typeof key.value !== 'string') {
      problems.push({ path: at, at: 'key', rule: 'yaml-key', message: `the name ${name} is not text; quote it` });
    }
    return name;
  }

  function scalar(node: Scalar, path: Path): JsonValue {
    const source = node.source ?? '';
    if (node.type === 'PLAIN' && node.tag === undefined) {
      const reason = ambiguity(source);
      if (reason) problems.push({ path, rule: 'yaml-ambiguous-scalar', message: `${source} is ${reason}` });
    }
    const value = node.value;
    if (typeof value === 'number') {
      const message = checkNumber(value, source);
      if (message && !/nan|inf/i.test(source)) problems.push({ path, rule: 'number-range', message });
      return Object.is(value, -0) ? 0 : value;
    }
    return typeof value === 'string' || typeof value === 'boolean' ? value : null;
  }

  const value = convert(root, [], 1, false);
  if (aliased > maxAliasedValues) {
    const message = `aliases stand for more than ${maxAliasedValues} values; write them out, or use fewer`;
    problems.push({ path: [], rule: 'yaml-aliases', message });
  }
  const top = typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {};
  return {
    value,
    problems,
    apiVersion: top['apiVersion'],
    kind: top['kind'],
    locate: (path, at, offset) => position(find(root, anchors, text, path, at ?? 'value', offset)),
  };
}

/** What to write instead of a value is no advice for a name. */
function forNames(reason: string): string {
  return reason.replace('write true or false, or ', '');
}

const plainTags = new Set(['str', 'int', 'float', 'bool', 'null', 'map', 'seq'].map((t) => `tag:yaml.org,2002:${t}`));

/** Offset in the text of what `path` names. */
function find(
  root: Node,
  anchors: ReadonlyMap<string, Node>,
  text: string,
  path: Path,
  at: 'key' | 'value',
  offset: number | undefined,
): number {
  const resolve = (node: unknown): Node | undefined =>
    isAlias(node) ? anchors.get(node.source) : ((node as Node | null) ?? undefined);
  let node: Node | undefined = root;
  let start = root.range?.[0] ?? 0;
  for (const [i, part] of path.entries()) {
    const last = i === path.length - 1;
    if (isSeq(node) && typeof part === 'number') {
      const item: unknown = node.items[part];
      if (item === undefined) return start;
      node = resolve(item);
      start = (item as Node | null)?.range?.[0] ?? start;
    } else if (isMap(node)) {
      // The last of two equal names: the one that a duplicate is reported for.
      const pair: { key: unknown; value: unknown } | undefined = node.items.findLast((p) => {
        const key = p.key as Node | null;
        return isScalar(key) && String(typeof key.value === 'string' ? key.value : (key.source ?? key.value)) === part;
      });
      if (!pair) return start;
      const keyStart = (pair.key as Node).range?.[0] ?? start;
      if (last && at === 'key') return keyStart;
      node = resolve(pair.value);
      const range = (pair.value as Node | null)?.range;
      // An empty value has no text of its own; its field does. So has a block's content: show the first line of it.
      start = range && range[0] < range[1] ? range[0] : keyStart;
    } else {
      return start;
    }
  }
  return offset !== undefined && isScalar(node) ? sourceOffset(text, node, offset) : start;
}
