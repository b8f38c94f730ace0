const TOKENS = /("(?:[^"\\]|\\.)*")(\s*:)?|[{}[\]]/g;

/**
 * What is wrong with a JSON value one of whose objects has a key twice, of which `JSON.parse` takes the last in silence; undefined where none
 * has, or where it is no JSON. E.g. `{"80": 1, "80": 2}` → 'the key "80" is there twice: leave one of them'.
 */
export function keyTwice(value: string): string | undefined {
  if (!/^\s*[{[]/.test(value)) return undefined;
  const open: Set<string>[] = [];
  for (const [token, text, colon] of value.matchAll(TOKENS)) {
    if (token === "{" || token === "[") open.push(new Set());
    else if (token === "}" || token === "]") open.pop();
    if (text === undefined || colon === undefined) continue;
    const keys = open.at(-1);
    if (keys?.has(text) === true) return `the key ${text} is there twice: leave one of them`;
    keys?.add(text);
  }
  return undefined;
}
