/** The beginning of a text of the other end, at most so many characters; a copy, because a part of a text keeps all of it in memory. */
export const cutText = (text: string, most: number): string =>
  text.length <= most ? text : Buffer.from(text.slice(0, most), "utf16le").toString("utf16le");
