import type { AttemptKey, AttemptResult, ResolvedBody } from '../../core/run/types.ts';
import type { Clock } from '../../seams/clock.ts';
import type { Executor, ExecutorSink, FileStore, StartAction, StopAction } from '../../seams/executor.ts';
import { InController } from '../in-controller.ts';
import { storableText } from '../storable.ts';
import { Renderer } from './renderer.ts';

type TemplateBody = Extract<ResolvedBody, { kind: 'template' }>;

const mebibyte = 1024 * 1024;
/** Template files that are kept as text. */
const mostSources = 200;

export interface TemplateExecutorOptions {
  files: FileStore;
  sink: ExecutorSink;
  clock: Clock;
  /** The signal of the lease as it is now: what runs when it aborts is aborted, its result discarded. */
  lost: () => AbortSignal;
}

/** Renders Jinja2 templates within the controller: sandboxed, strict, bounded in time and size. */
export class TemplateExecutor implements Executor {
  readonly kinds = ['template'] as const;
  readonly #files: FileStore;
  readonly #running: InController;
  readonly #renderer: Renderer;
  /** By version and path; the oldest first. */
  readonly #sources = new Map<string, string>();

  constructor(options: TemplateExecutorOptions) {
    this.#files = options.files;
    this.#running = new InController(options.sink, options.clock, options.lost);
    this.#renderer = new Renderer(options.clock);
  }

  async start(action: StartAction): Promise<void> {
    const { body, digest } = action;
    if (body.kind !== 'template') throw new TypeError(`template cannot run a step of kind ${body.kind}`);
    this.#running.run(action.key, () => this.#render(digest, body));
  }

  async stop({ key }: StopAction): Promise<void> {
    this.#running.stop(key);
  }

  async forget(key: AttemptKey): Promise<void> {
    this.#running.forget(key);
  }

  /** Nothing outlives its controller. */
  async sweep(): Promise<void> {}

  async close(): Promise<void> {
    this.#running.close();
    this.#renderer.close();
  }

  async #render(digest: string, body: TemplateBody): Promise<AttemptResult> {
    const source = 'text' in body.source ? body.source.text : await this.#sourceOf(digest, body.source.file);
    if (source === null) return failed(`the version has no file ${(body.source as { file: string }).file}`);
    if (Buffer.byteLength(source) > mebibyte) return failed('the template is larger than 1 MiB');
    const rendered = await this.#renderer.render(source, JSON.stringify(body.vars));
    if ('problem' in rendered) return failed(explain(rendered.problem, source));
    return { outcome: 'Succeeded', outputs: { values: { text: storableText(rendered.text) } } };
  }

  async #sourceOf(digest: string, file: string): Promise<string | null> {
    const id = `${digest}/${file}`;
    const known = this.#sources.get(id);
    if (known !== undefined) return known;
    const bytes = (await this.#files.files(digest)).get(file);
    if (!bytes) return null;
    const source = Buffer.from(bytes).toString();
    const [oldest] = this.#sources.keys();
    if (this.#sources.size >= mostSources && oldest !== undefined) this.#sources.delete(oldest);
    this.#sources.set(id, source);
    return source;
  }
}

/**
 * The engine's message without what could hold a variable's value: only its first line, and no names of templates that
 * were worked out. It says where by the line of the template itself.
 */
function explain(problem: string, source: string): string {
  const first = problem.split('\n', 1)[0] ?? '';
  const at = /^(.*?) \(in t\d+:(\d+)\)$/.exec(first);
  const what = (at?.[1] ?? first).startsWith('template not found')
    ? 'a template cannot include, extend or import another'
    : (at?.[1] ?? first);
  if (!at) return what;
  const line = (source.split('\n')[Number(at[2]) - 1] ?? '').trim();
  return `line ${at[2]}: ${what}: ${line.length > 200 ? `${line.slice(0, 200)}…` : line}`;
}

function failed(message: string): AttemptResult {
  return { outcome: 'Failed', error: { type: 'template', message: storableText(message), retryable: false } };
}
