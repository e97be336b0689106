import { expect, test } from "vitest";
import { Groups, Growing, parse } from "../src/markdown/parse.js";

const TEXT = `# Title

A paragraph
over two lines.

- one
- two

  still two

| a | b |
|---|--:|
| 1 | 2 |

\`\`\`python
def f():

    return 1
\`\`\`

> quoted
lazy

Setext
------

End.`;

const shape = (text: string, blocks = parse(text)) =>
  blocks.map(({ tokens, plain }) => plain ?? tokens.map(({ type, content }) => [type, content]));

test("a text that grows a character at a time ends as the whole does", () => {
  const growing = new Growing();
  for (let end = 1; end < TEXT.length; end += 1) growing.update(TEXT.slice(0, end));
  expect(shape(TEXT, growing.update(TEXT))).toEqual(shape(TEXT));
});

test("blocks before the last two are read once, and stay the same objects", () => {
  const growing = new Growing();
  const before = growing.update("one\n\ntwo\n\nthree\n\nfour");
  const after = growing.update("one\n\ntwo\n\nthree\n\nfour and more\n\nfive");
  expect(after[0]).toBe(before[0]);
  expect(after[1]).toBe(before[1]);
  expect(after[3]).not.toBe(before[3]);
  expect(after).toHaveLength(5);
});

test("a text that is replaced is read anew", () => {
  const growing = new Growing();
  growing.update("one\n\ntwo\n\nthree\n\nfour");
  expect(shape("", growing.update("other"))).toEqual(shape("other"));
});

test("line ends of every kind are line ends", () => {
  expect(shape("a\r\n\r\nb\rc")).toHaveLength(2);
  const growing = new Growing();
  for (const end of [1, 2, 3, 4, 5]) growing.update("a\r\n\r\nb".slice(0, end));
  expect(growing.update("a\r\n\r\nb")).toHaveLength(2);
});

test("what has no blocks is shown as it is, in pieces that cut no character", () => {
  const text = "🚢".repeat(40_000);
  const blocks = parse(text);
  expect(blocks.length).toBeGreaterThan(10);
  expect(blocks.map(({ plain }) => plain).join("")).toBe(text);
  expect(blocks.every(({ plain }) => !/^[\udc00-\udfff]/.test(plain!))).toBe(true);
});

test("nothing is passed over, however deep it is", () => {
  const text = `${">".repeat(300)} deep\n\nafter`;
  const [deep, after] = parse(text);
  expect(deep!.plain).toContain("deep");
  expect(after!.plain).toBeNull();
});

test("groups of blocks that stay the same are the same", () => {
  const text = (count: number) =>
    Array.from({ length: count }, (_, n) => `block ${n}`).join("\n\n");
  const growing = new Growing();
  const groups = new Groups();
  const before = groups.update(growing.update(text(100)));
  const after = groups.update(growing.update(text(130)));
  expect(before.map(({ length }) => length)).toEqual([40, 40, 20]);
  expect(after.map(({ length }) => length)).toEqual([40, 40, 40, 10]);
  expect(after[0]).toBe(before[0]);
  expect(after[1]).toBe(before[1]);
  expect(after.flat()).toHaveLength(130);
});

test("at its end a text keeps its blocks, unless its links are only now defined", () => {
  const text = "one\n\n[two]\n\nthree\n\nfour\n\nfive";
  const growing = new Growing();
  const before = growing.update(text);
  const after = growing.end(text);
  expect(after[0]).toBe(before[0]);
  expect(after.every(({ open }) => !open)).toBe(true);
  expect(shape(text, after)).toEqual(shape(text));
  const defined = `${text}\n\n[two]: https://example.org/`;
  expect(shape(defined, growing.end(defined))).toEqual(shape(defined));
  expect(JSON.stringify(growing.end(defined))).toContain("link_open");
});
