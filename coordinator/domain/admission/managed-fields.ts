const BEGIN = Buffer.from(',"managedFields":[');
const [QUOTE, BACKSLASH, OPEN, CLOSE] = Buffer.from('"\\[]');

/**
 * Pure: the JSON text of a review without the first list `managedFields` in it: nobody here asks who wrote which field, and that is a
 * third of a review, with keys of its own in each Pod, which take longest to parse. Where there is none, or it has no end, the text as it is.
 *
 * In valid JSON these bytes begin a member that is not its object's first: within a text a quote has a backslash before it, and a quote that
 * ends a text is followed by no letter. So what is left is valid as well; the API server writes the list behind other members.
 */
export function withoutManagedFields(review: Buffer): string {
  const from = review.indexOf(BEGIN);
  const end = from < 0 ? undefined : endOfList(review, from + BEGIN.length);
  return end === undefined ? review.toString("utf8") : review.toString("utf8", 0, from) + review.toString("utf8", end);
}

/** `at`: the first byte within the list. */
function endOfList(json: Uint8Array, at: number): number | undefined {
  let depth = 1;
  let inText = false;
  for (let next = at; next < json.length; next += 1) {
    const byte = json[next];
    if (inText) {
      if (byte === BACKSLASH) next += 1;
      else if (byte === QUOTE) inText = false;
    } else if (byte === QUOTE) inText = true;
    else if (byte === OPEN) depth += 1;
    else if (byte === CLOSE) {
      depth -= 1;
      if (depth === 0) return next + 1;
    }
  }
  return undefined;
}
