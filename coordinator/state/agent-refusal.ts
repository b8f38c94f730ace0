/**
 * Why a reported Pod does not count. `name`: something in it cannot be. `foreign`: the API server has it on another node. `unknown`: the API
 * server has no such Pod. `contradicts`: it says of a Pod what the API server does not. `limit`: more Pods than a node can have, or
 * more text of them than is kept.
 */
export type Refusal = "name" | "foreign" | "unknown" | "contradicts" | "limit";

/** E.g. { name: "node-a", uid: "db49…" }; `uid` is "" where the Node object is not known. */
export type RefusedNode = { readonly name: string; readonly uid: string };
