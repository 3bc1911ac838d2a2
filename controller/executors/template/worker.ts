import { parentPort } from 'node:worker_threads';
import minijinja from 'minijinja-js';
import { stringify } from 'yaml';
import type { RenderAnswer, RenderRequest } from './messages.ts';

const mebibyte = 1024 * 1024;
/** Instructions one render may take: bounds loops, not single operations on large strings (the pool bounds those by time). */
const fuel = 20_000_000;
/** Memory that a render has taken is never given back: beyond this the worker is replaced. */
const largestMemory = 128 * mebibyte;

const tooMuch = 'the template engine cannot do this: something in it is too large or too deep';

/** Filters must not throw, which would leave the engine broken for good: what went wrong is kept and told afterwards. */
let filterProblem: string | null = null;

const environment = new minijinja.Environment();
environment.undefinedBehavior = 'strict';
environment.fuel = fuel;
environment.addFilter('b64encode', (value: unknown) =>
  guarded('b64encode', () => Buffer.from(String(value)).toString('base64')),
);
environment.addFilter('toyaml', (value: unknown) => guarded('toyaml', () => stringify(plain(value)).trimEnd()));

// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port has no origin
parentPort?.on('message', (request: RenderRequest) => parentPort?.postMessage(answer(request)));
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port has no origin
parentPort?.postMessage('ready');

function answer(request: RenderRequest): RenderAnswer {
  const { id } = request;
  const name = `t${request.template}`;
  filterProblem = null;
  try {
    if (request.forget) for (const old of request.forget) environment.removeTemplate(`t${old}`);
    if (request.source !== undefined) environment.addTemplate(name, request.source);
    const text = environment.renderTemplate(name, JSON.parse(request.vars));
    const worn = memoryBytes() > largestMemory;
    if (filterProblem !== null) return { id, problem: filterProblem, worn };
    if (Buffer.byteLength(text) > mebibyte) return { id, problem: 'the text is larger than 1 MiB', worn };
    return { id, text, worn };
  } catch (error) {
    // Only a plain Error comes from the template; anything else is the engine breaking.
    if (!(error instanceof Error) || error.constructor !== Error) return { id, problem: tooMuch, worn: true };
    return { id, problem: error.message, worn: memoryBytes() > largestMemory };
  }
}

function guarded(filter: string, apply: () => string): string {
  try {
    return apply();
  } catch {
    filterProblem = `the filter ${filter} cannot be applied to this value`;
    return '';
  }
}

/** The engine hands maps over as Map and large integers as BigInt. */
function plain(value: unknown): unknown {
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, item]) => [String(key), plain(item)]));
  return Array.isArray(value) ? value.map(plain) : value;
}

function memoryBytes(): number {
  return (minijinja as unknown as { __wasm: { memory: WebAssembly.Memory } }).__wasm.memory.buffer.byteLength;
}
