import MarkdownIt, { type Token } from "markdown-it";

/** A block of a text: a paragraph, a list, a table, … `open`: more may come to it. */
export interface Block {
  readonly tokens: readonly Token[];
  readonly open: boolean;
  /** Text that is too long for one block to be read as Markdown, else null. */
  readonly plain: string | null;
}

/** Blocks in one group: a page compares groups before it looks into one. */
export const GROUP = 40;
/** Longer than this (UTF-16 units), what has no blocks yet is shown as it is. */
const MOST = 60_000;
/** More levels than this nobody means (Markdown's reader stops at 100). */
const DEEPEST = 50;
/** Pieces of such a text. */
const PIECE = 4_000;

// HTML is text here; what becomes of links and pictures is decided where they are shown.
const markdown = new MarkdownIt({ html: false, linkify: true, breaks: true });

type Env = Parameters<typeof markdown.parse>[1];

/** The blocks of a text that will not grow. Pure. */
export function parse(text: string): readonly Block[] {
  const growing = new Growing();
  return growing.update(text, false);
}

/**
 * The blocks of a text that grows at its end. What comes can only change the last blocks: those
 * before them are read once, and stay the same objects.
 */
export class Growing {
  #text = "";
  /** Where the first block begins that may still change. */
  #at = 0;
  #settled: readonly Block[] = [];
  #env: Env = {};

  update(text: string, open = true): readonly Block[] {
    if (!text.startsWith(this.#text)) {
      this.#at = 0;
      this.#settled = [];
      this.#env = {};
    }
    this.#text = text;
    const tail = normal(text.slice(this.#at));
    return this.#blocks(tail, open) ?? [...this.#settled, ...pieces(tail)];
  }

  /**
   * The blocks of the whole text, to which nothing comes any more. Those that were settled stay,
   * unless something in the text says where its links lead: that may come after a link.
   */
  end(text: string): readonly Block[] {
    const blocks = this.update(text, false);
    return Object.keys(this.#env.references ?? {}).length ? parse(text) : blocks;
  }

  /** Null: the tail is too long. */
  #blocks(tail: string, open: boolean): readonly Block[] | null {
    const lines = starts(tail);
    if (longest(lines, tail.length) > MOST) return null;
    const tokens = markdown.parse(tail, this.#env);
    const found: { tokens: Token[]; line: number }[] = [];
    let depth = 0;
    for (const token of tokens) {
      if (depth === 0) found.push({ tokens: [], line: token.map?.[0] ?? 0 });
      depth += token.nesting;
      found.at(-1)!.tokens.push(token);
    }
    // The last block may take what comes; the one before it may take the last one's line back.
    const sure = open ? Math.max(0, found.length - 2) : 0;
    const blocks = found.map(({ tokens, line }, at) => ({
      tokens,
      // Deeper than anybody means it, Markdown's reader passes text over: it is shown as it is.
      plain: tokens.some(({ level }) => level > DEEPEST)
        ? tail.slice(lines[line], lines[found[at + 1]?.line ?? lines.length])
        : null,
      open: open && at === found.length - 1,
    }));
    const all = [...this.#settled, ...blocks];
    if (sure) {
      this.#settled = all.slice(0, this.#settled.length + sure);
      this.#at += lines[found[sure]!.line] ?? 0;
    }
    return all;
  }
}

/**
 * Blocks in groups, of which those that are complete stay the same arrays for as long as their
 * blocks stay the same.
 */
export class Groups {
  #groups: (readonly Block[])[] = [];

  update(blocks: readonly Block[]): readonly (readonly Block[])[] {
    const found: (readonly Block[])[] = [];
    for (let at = 0; at < blocks.length; at += GROUP) {
      const before = this.#groups[found.length];
      const same =
        before?.length === Math.min(GROUP, blocks.length - at) &&
        before.every((block, index) => block === blocks[at + index]);
      found.push(same ? before : blocks.slice(at, at + GROUP));
    }
    return (this.#groups = found);
  }
}

/** Line ends as Markdown has them; of the same length, so that places stay. */
function normal(text: string): string {
  return text.includes("\r") ? text.replace(/\r\n/g, " \n").replace(/\r/g, "\n") : text;
}

/** Where each line begins. */
function starts(text: string): number[] {
  const found = [0];
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) found.push(at + 1);
  return found;
}

function longest(lines: readonly number[], end: number): number {
  return lines.reduce((most, at, n) => Math.max(most, (lines[n + 1] ?? end) - at), 0);
}

function pieces(text: string): Block[] {
  const found: Block[] = [];
  let at = 0;
  while (at < text.length) {
    let end = Math.min(at + PIECE, text.length);
    // Never between the halves of a character.
    if (end < text.length && (text.charCodeAt(end - 1) & 0xfc00) === 0xd800) end -= 1;
    found.push({ tokens: [], open: false, plain: text.slice(at, end) });
    at = end;
  }
  return found;
}
