import { INJECT_LABEL } from "../../../common/names.ts";

/** What a Pod's own label asks for in words that mean nothing, for people; undefined: nothing is wrong. */
export function injectWishFault(labels: Readonly<Record<string, string>>): string | undefined {
  const wish = labels[INJECT_LABEL];
  if (wish === undefined || wish === "enabled" || wish === "disabled") return undefined;
  return `label ${INJECT_LABEL}: "${wish}", which means nothing: use "enabled" or "disabled"`;
}
