/** The head of a backend's answer. */
export type AnswerHead = { readonly status: number; readonly message: string; readonly rawHeaders: readonly string[] };

/** What comes of an answer, in this order; `isReusable` says whether the connection can carry another one. */
export type AnswerEvents = {
  readonly head: (head: AnswerHead) => void;
  readonly body: (data: Buffer) => void;
  readonly end: (isReusable: boolean) => void;
};

/** More than any server sends; what is longer is no answer. */
const LONGEST_HEAD_BYTES = 65_536;
const EMPTY = Buffer.alloc(0);

type State = "head" | "length" | "until end" | "chunk size" | "chunk" | "after chunk" | "trailers" | "over";

/**
 * One HTTP/1 answer out of the bytes of a connection (RFC 9112 §6). Node's own client does the same at more than twice the CPU, of which
 * the data plane has the most. `push` and `ended` throw a SyntaxError on what is no such answer.
 */
export class ResponseParser {
  readonly #method: string;
  readonly #on: AnswerEvents;
  #state: State = "head";
  #rest: Buffer = EMPTY;
  #left = 0;
  #keeps = false;

  constructor(method: string, on: AnswerEvents) {
    this.#method = method;
    this.#on = on;
  }

  push(data: Buffer): void {
    let more: Buffer | undefined = data;
    while (more !== undefined && more.length > 0) {
      if (this.#state === "over") throw new SyntaxError("bytes after the end of the answer");
      more = this.#take(more);
    }
  }

  /** The backend ended the connection. */
  ended(): void {
    if (this.#state === "over") return;
    if (this.#state !== "until end") throw new SyntaxError(`the answer breaks off in its ${this.#state}`);
    this.#finish(false);
  }

  /** Gives what is left of the data, undefined if more must come first. */
  #take(data: Buffer): Buffer | undefined {
    switch (this.#state) {
      case "length":
      case "chunk": {
        const part = data.length <= this.#left ? data : data.subarray(0, this.#left);
        this.#left -= part.length;
        this.#on.body(part);
        if (this.#left === 0 && this.#state === "length") this.#finish(this.#keeps);
        else if (this.#left === 0) this.#state = "after chunk";
        return data.subarray(part.length);
      }
      case "until end":
        this.#on.body(data);
        return undefined;
      case "head":
        return this.#until("\r\n\r\n", data, (text) => this.#readHead(text));
      case "chunk size":
        return this.#until("\r\n", data, (text) => this.#readSize(text));
      case "after chunk":
        return this.#until("\r\n", data, () => {
          this.#state = "chunk size";
        });
      case "trailers":
        return this.#until("\r\n", data, (text) => {
          if (text === "") this.#finish(this.#keeps);
        });
      case "over":
        return data;
      default:
        return this.#state satisfies never;
    }
  }

  #until(mark: string, data: Buffer, read: (text: string) => void): Buffer | undefined {
    const all = this.#rest.length === 0 ? data : Buffer.concat([this.#rest, data]);
    const end = all.indexOf(mark);
    if (end < 0 && all.length > LONGEST_HEAD_BYTES) throw new SyntaxError(`no end of ${this.#state} within ${LONGEST_HEAD_BYTES} bytes`);
    this.#rest = end < 0 ? all : EMPTY;
    if (end < 0) return undefined;
    read(all.toString("latin1", 0, end));
    return all.subarray(end + mark.length);
  }

  #readHead(text: string): void {
    const [first = "", ...lines] = text.split("\r\n");
    const [, minor, code, message = ""] = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: (.*))?$/.exec(first) ?? [];
    if (code === undefined) throw new SyntaxError(`no HTTP answer: ${first.slice(0, 80)}`);
    const status = Number(code);
    if (status === 101) throw new SyntaxError("101 without a request to upgrade");
    if (status < 200) return; // e.g. 103: the answer itself follows
    const headers = readHeaders(lines, minor === "1");
    this.#keeps = headers.keeps;
    this.#on.head({ status, message, rawHeaders: headers.raw });
    if (this.#method === "HEAD" || status === 204 || status === 304 || (!headers.isChunked && headers.length === 0))
      return this.#finish(this.#keeps);
    this.#left = headers.length ?? 0;
    this.#state = headers.isChunked ? "chunk size" : headers.length === undefined ? "until end" : "length";
  }

  #readSize(text: string): void {
    const [, digits] = /^([0-9a-f]{1,12})\s*(?:;.*)?$/i.exec(text) ?? [];
    if (digits === undefined) throw new SyntaxError(`no chunk size: ${text.slice(0, 80)}`);
    this.#left = Number.parseInt(digits, 16);
    this.#state = this.#left === 0 ? "trailers" : "chunk";
  }

  #finish(isReusable: boolean): void {
    this.#state = "over";
    this.#on.end(isReusable);
  }
}

/** What the headers say of body and connection; `length` is undefined without a Content-Length. */
function readHeaders(lines: readonly string[], keepsByDefault: boolean) {
  const raw: string[] = [];
  let length: number | undefined;
  let isChunked = false;
  let keeps = keepsByDefault;
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon < 1) throw new SyntaxError(`no header: ${line.slice(0, 80)}`);
    const [name, value] = [line.slice(0, colon), line.slice(colon + 1).trim()];
    raw.push(name, value);
    const key = name.length === 14 || name.length === 17 || name.length === 10 ? name.toLowerCase() : "";
    if (key === "content-length") {
      const said = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
      if (Number.isNaN(said) || (length ?? said) !== said) throw new SyntaxError(`Content-Length ${value.slice(0, 80)}`);
      length = said;
    } else if (key === "transfer-encoding") isChunked = /\bchunked\s*$/i.test(value);
    else if (key === "connection") keeps = /\bkeep-alive\b/i.test(value) || (keeps && !/\bclose\b/i.test(value));
  }
  return { raw, length: isChunked ? undefined : length, isChunked, keeps };
}
