import type { Listener } from "../load-balancer.ts";
import { sameButTargets, sameEach } from "../structural-sharing.ts";
import type { Selection } from "./backends.ts";
import type { OwnAddress } from "./former-rules.ts";
import type { CertificateOf } from "./intent-port.ts";
import type { OwnerWishes } from "./owner-intent.ts";
import type { SharedRules } from "./shared-rules.ts";

/** What an outline follows of, besides the Pods. `owners`: another object for one whose wishes, or what is on record of it, have changed. */
export type OutlineInput = {
  readonly owners: readonly OwnerWishes[];
  readonly present: readonly Listener[];
  readonly address: OwnAddress | undefined;
  readonly shared: SharedRules | undefined;
  readonly certificateOf: CertificateOf;
  /** Another number when what any of the owners selects may have changed; undefined: that is asked whenever it is made. */
  readonly selected: number | undefined;
};
/** `made`: the whole with the Pods as they are selected now. `isSettled`: what is bound in a place decides nothing of it. */
export type Outline<T> = { readonly made: () => T; readonly isSettled: boolean };

type Source = Parameters<CertificateOf>;
type Kept<T> = {
  readonly input: OutlineInput;
  readonly made: () => T;
  readonly certificates: readonly { readonly asked: Source; readonly found: ReturnType<CertificateOf> }[];
  /** As it was made last. */
  readonly last: T | undefined;
};

/**
 * What one load balancer should be, apart from the Pods: kept as long as nothing of what it follows of has changed, so that a pass looks at
 * those selections only in which a Pod has. Changes the time it takes, never the result.
 */
export class OutlineCache<T> {
  #kept: Kept<T> | undefined;

  /** The whole. Where the last outline does not hold, `outline` makes it anew, and asks for certificates through what it is given. */
  make(input: OutlineInput, outline: (certificateOf: CertificateOf) => Outline<T>): T {
    const { certificateOf, selected } = input;
    const kept = this.#kept;
    if (kept !== undefined && holds(kept, input)) {
      const isSame = selected !== undefined && selected === kept.input.selected && kept.last !== undefined;
      const last = isSame ? kept.last : kept.made();
      this.#kept = { ...kept, input, last };
      return last;
    }
    const certificates: { asked: Source; found: ReturnType<CertificateOf> }[] = [];
    const { made, isSettled } = outline((...asked) => {
      const found = certificateOf(...asked);
      certificates.push({ asked, found });
      return found;
    });
    const last = made();
    this.#kept = isSettled ? { input, made, certificates, last } : undefined;
    return last;
  }
}

function holds<T>({ input, certificates }: Kept<T>, { owners, present, address, shared, certificateOf }: OutlineInput): boolean {
  return (
    input.shared === shared &&
    input.address === address &&
    sameEach(input.owners, owners) &&
    sameEach(input.present, present, sameButTargets) &&
    certificates.every(({ asked, found }) => certificateOf(...asked) === found)
  );
}

/** What `make` makes of a selection: the same object as long as the selection is. */
export function madeOnce<T>(select: () => Selection, make: (selection: Selection) => T): () => T {
  let known: { readonly selection: Selection; readonly made: T } | undefined;
  return () => {
    const selection = select();
    if (known?.selection !== selection) known = { selection, made: make(selection) };
    return known.made;
  };
}

/** What `make` makes of the parts: the same object as long as all of them are. */
export function madeOf<P, T>(parts: readonly (() => P)[], make: (parts: readonly P[]) => T): () => T {
  let known: { readonly parts: readonly P[]; readonly made: T } | undefined;
  return () => {
    const now = parts.map((part) => part());
    if (known === undefined || !sameEach(known.parts, now)) known = { parts: now, made: make(now) };
    return known.made;
  };
}
