import type { JsonValue } from '../../crds/json.ts';
import { canonicalJson, sha256Hex } from './digest.ts';
import { ExpressionError } from './expression/types.ts';
import type { ArtifactRef, CacheKey, ResolvedBody } from './run/types.ts';

/** Longest part that is kept as it is, so that people can read what has changed. */
const longestPart = 200;

/** What a step's result depends on. Its secrets do not belong to it. */
export interface CacheFacts {
  namespace: string;
  workflow: string;
  step: string;
  body: ResolvedBody;
  /** Path → sha256 of the files of the workflow. */
  files: Record<string, string>;
  /** Path → what is put there. */
  artifacts: Record<string, ArtifactRef>;
  version: string;
  /** The parts that the step adds. */
  key: string[];
}

/**
 * The key of the step cache, with the parts it was made of.
 * @throws ExpressionError when a value has no exact JSON: a number beyond ±(2^53-1), or half of a surrogate pair
 */
export function cacheKey(facts: CacheFacts): CacheKey {
  const { namespace, workflow, step, files, artifacts, version, key } = facts;
  const whole: Record<string, JsonValue> = { namespace, workflow, step, ...bodyParts(facts.body), version };
  if (readsFiles(facts.body)) whole['files'] = files;
  for (const [path, { digest, executable }] of Object.entries(artifacts)) {
    whole[`artifact ${path}`] = executable ? `${digest} executable` : digest;
  }
  for (const [i, text] of key.entries()) whole[`key[${i}]`] = text;
  try {
    const parts = Object.entries(whole).map(([name, value]) => [name, shown(value)]);
    return { key: `sha256:${hash(canonicalJson(whole))}`, parts: Object.fromEntries(parts) };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new ExpressionError(`the key of the cache cannot be made: ${error.message}`);
  }
}

/** What a body does, without its secrets, where it runs and what it is given there. */
function bodyParts(body: ResolvedBody): Record<string, JsonValue> {
  switch (body.kind) {
    case 'run': {
      const { kind, script, shell, env, pod } = body;
      return { kind, script, shell, image: pod.image, ...envParts(env) };
    }
    case 'container': {
      const { kind, image, command, args, workingDir, env } = body;
      return { kind, image, command, args, workingDir, ...envParts(env) };
    }
    case 'http': {
      const { kind, method, url, headers, expect, body: content = null } = body;
      return { kind, method, url, headers, body: content, expect };
    }
    case 'template':
      return { kind: body.kind, template: body.source, vars: body.vars };
    default:
      return { kind: body.kind, name: body.name, inputs: body.inputs };
  }
}

function envParts(env: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(env).map(([name, value]) => [`env ${name}`, value]));
}

function readsFiles({ kind }: ResolvedBody): boolean {
  return kind === 'run' || kind === 'container' || kind === 'template';
}

function shown(value: JsonValue): string {
  const text = typeof value === 'string' ? value : canonicalJson(value);
  return text.length <= longestPart ? text : `sha256:${hash(text)}`;
}

function hash(text: string): string {
  return sha256Hex(new TextEncoder().encode(text));
}
