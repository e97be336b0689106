/** Milliseconds between two announcements while an answer is being written. */
export const PAUSE = 4_000;
/** An announcement is not longer than this (UTF-16 units). */
const MOST = 300;

/**
 * What to say next of a growing text, and from where to go on: whole sentences, not too much at
 * once. What a listener cannot keep up with is passed over. Pure.
 */
export function nextSaid(text: string, said: number): { words: string; said: number } {
  const rest = text.slice(said);
  const ends = [...rest.matchAll(/[.!?。！？](?=\s|$)|[。！？]|\n/g)].map(
    ({ index, 0: end }) => index + end.length,
  );
  const last = ends.at(-1);
  if (last === undefined) return { words: "", said };
  const fits = ends.filter((end) => end <= MOST).at(-1);
  const words = rest.slice(0, fits ?? MOST);
  return { words: plain(words), said: said + last };
}

/** Without the marks of Markdown, which nobody wants to hear. */
function plain(text: string): string {
  return text
    .replace(/```\w*/g, "")
    .replace(/\[(\d+)\]/g, "")
    .replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")
    .replace(/^[#>\s|-]+/gm, "")
    .replace(/[*_`|]+/g, "")
    .replace(/\s+/g, " ")
    .trim();
}
