import { type Server, type ServerUnaryCall, type ServerWritableStream, type sendUnaryData, status } from "@grpc/grpc-js";
import {
  type HealthCheckRequest,
  type HealthCheckResponse,
  HealthService,
  HealthCheckResponse_ServingStatus as Status,
} from "../proto/gen/grpc/health/v1/health.ts";

type Watcher = ServerWritableStream<HealthCheckRequest, HealthCheckResponse>;

/** The answers of grpc.health.v1, the same on every server that they are added to. */
export class Health {
  private readonly statuses: Map<string, Status>;
  private readonly watchers = new Map<string, Set<Watcher>>();

  /** `names` are NOT_SERVING until set; `""` means that this process is fit, e.g. ["", "ready"]. Other names answer NOT_FOUND. */
  constructor(names: readonly string[]) {
    this.statuses = new Map(names.map((name) => [name, Status.NOT_SERVING]));
  }

  setStatus(name: string, to: "SERVING" | "NOT_SERVING"): void {
    if (this.statuses.get(name) === Status[to]) return;
    this.statuses.set(name, Status[to]);
    for (const watcher of this.watchers.get(name) ?? []) watcher.write({ status: Status[to] });
  }

  addToServer(server: Server): void {
    server.addService(HealthService, {
      check: (call: ServerUnaryCall<HealthCheckRequest, HealthCheckResponse>, answer: sendUnaryData<HealthCheckResponse>) => {
        const found = this.statuses.get(call.request.service);
        if (found === undefined) answer({ code: status.NOT_FOUND, details: `unknown service ${call.request.service}` });
        else answer(null, { status: found });
      },
      watch: (call: Watcher) => this.watch(call),
    });
  }

  private watch(call: Watcher): void {
    const { service } = call.request;
    const watchers = this.watchers.get(service) ?? new Set<Watcher>();
    this.watchers.set(service, watchers);
    watchers.add(call);
    call.on("cancelled", () => {
      watchers.delete(call);
      if (watchers.size === 0) this.watchers.delete(service);
      call.end();
    });
    call.write({ status: this.statuses.get(service) ?? Status.SERVICE_UNKNOWN });
  }
}
