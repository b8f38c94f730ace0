import type { Dispatcher } from "undici";
import { errorFromTransport } from "./api-error.ts";

/** A whole answer, whatever its status. */
export type Answer = { readonly status: number; readonly retryAfter: string | undefined; readonly text: string };

/**
 * One request and its answer, without the streams and signals of undici's own `request`, which cost as much as the rest of a short one.
 * What comes after its end, however it ended, is ignored.
 */
export class Exchange implements Dispatcher.DispatchHandler {
  /** Rejects with the reason of `end`, or with KubeApiError where no answer came. */
  readonly answer: Promise<Answer>;
  readonly #request: string;
  readonly #resolve: (answer: Answer) => void;
  readonly #reject: (reason: unknown) => void;
  #controller: Dispatcher.DispatchController | undefined;
  #ended: Error | undefined;
  #status = 0;
  #retryAfter: string | undefined;
  readonly #chunks: Buffer[] = [];

  /** `request` e.g. "GET /api/v1/pods" */
  constructor(request: string) {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    this.answer = promise;
    this.#request = request;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** Undici throws what it refuses, e.g. a header that cannot be. */
  send(dispatcher: Dispatcher, options: Dispatcher.DispatchOptions): void {
    try {
      if (this.#ended === undefined) dispatcher.dispatch(options, this);
    } catch (error) {
      this.end(errorFromTransport(this.#request, error));
    }
  }

  /** Breaks it off where it runs. */
  end(reason: unknown): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason instanceof Error ? reason : new Error(String(reason));
    this.#reject(reason);
    this.#controller?.abort(this.#ended);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    if (this.#ended !== undefined) throw this.#ended; // while it waited for a connection, which an abort would cut for whoever comes next
    this.#controller = controller;
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: Readonly<Record<string, unknown>>): void {
    const retryAfter = headers["retry-after"];
    this.#status = status;
    this.#retryAfter = typeof retryAfter === "string" ? retryAfter : undefined;
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#chunks.push(chunk);
  }

  onResponseEnd(): void {
    const [first, ...more] = this.#chunks;
    const body = first === undefined || more.length > 0 ? Buffer.concat(this.#chunks) : first;
    this.#resolve({ status: this.#status, retryAfter: this.#retryAfter, text: body.toString("utf8") });
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.end(errorFromTransport(this.#request, error));
  }
}
