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

/** `what` e.g. "`VpcId` of an INTERNAL load balancer". */
export const missing = (what: string): CloudError =>
  new CloudError("MissingParameter", `The request is missing a required parameter: ${what}.`);

/** A value that is wrong by itself, or beside the others of its request. */
export const badValue = (message: string): CloudError => new CloudError("InvalidParameterValue", message);

/** Something documented that this cloud does not have. */
export const unsupported = (message: string): CloudError => new CloudError("UnsupportedOperation", message);

/** No answer of the API at all: the connection is cut (`status` undefined) or the gateway answers with an HTTP status. Has no `code`, as for the SDK. */
export class TransportFault extends Error {
  override readonly name = "TransportFault";
  readonly status: number | undefined;

  constructor(message: string, status?: number) {
    super(message);
    this.status = status;
  }
}
