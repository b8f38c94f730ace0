/** An answer of the API that is an error, e.g. code "InvalidParameter.LBIdNotFound"; travels in an HTTP 200. */
export class CloudError extends Error {
  override readonly name = "CloudError";
  readonly code: string;
  /** Set by the cloud when the call ends. */
  requestId = "";

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** No answer of the API at all: the connection is cut (`status` undefined) or the gateway answers with an HTTP status. Has no `code`, as for the SDK. */
export class TransportFault extends Error {
  override readonly name = "TransportFault";
  readonly status: number | undefined;

  constructor(message: string, status?: number) {
    super(message);
    this.status = status;
  }
}
