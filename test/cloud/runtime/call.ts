import type { Account } from "../model/account.ts";

/** Who calls: `name` is the account in journal and rate limit. */
export type Caller = { readonly name: string; readonly region: string };

/** One call on its way through an action. */
export type CallContext = {
  readonly action: string;
  readonly requestId: string;
  /** As this call is to see it: the fault `stale` shows reads how it was some time ago. Writes always see it as it is now. */
  readonly account: Account;
  readonly faults: WriteFaults;
};

/** What injected faults do to a write. */
export type WriteFaults = {
  /** Its task fails with this message. */
  readonly failure: string | undefined;
  /** Called when its task would end; it does not before this resolves. */
  readonly stuck: (() => Promise<void>) | undefined;
  /** For a target of a (de)registration: the reason why it is refused, or what is done in place of what was asked for. */
  readonly onTarget: (ip: string) => string | (() => void) | undefined;
};
