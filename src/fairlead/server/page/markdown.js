// Markdown as DOM nodes, made so that no text of an answer is ever parsed as HTML.

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)(?:\s+#+)?\s*$/;
const RULE = /^ {0,3}(?:(?:\*\s*){3,}|(?:-\s*){3,}|(?:_\s*){3,})$/;
const ITEM = /^( {0,12})([-*+•]|\d{1,9}[.)])(\s+)(.*)$/;
const QUOTE = /^ {0,3}>\s?/;
const DELIMITERS = /^ {0,3}\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$/;
/** Deeper nesting is shown as plain text. */
const MAX_DEPTH = 8;
/** A mark whose closer is farther away is a plain character: keeps hostile text from costing n². */
const MAX_SPAN = 1000;

/**
 * Show `text` in `element`. Blocks that stand there unchanged are left alone, so that a growing
 * answer costs its last block, and a selection in the earlier ones survives. `cite(n)` gives the
 * node for `[n]`, or null where there is no such source.
 */
export function render(element, text, cite = () => null) {
  const found = blocks(text.replace(/\r\n?/g, "\n").split("\n"), 0);
  const shown = element.shownBlocks ?? [];
  let same = 0;
  while (same < found.length && same < shown.length && shown[same] === key(found[same])) same += 1;
  while (element.children.length > same) element.lastElementChild.remove();
  for (const block of found.slice(same)) element.append(blockNode(block, cite, 0));
  element.shownBlocks = found.map(key);
}

/** Forget what was shown, so that the next `render` makes everything anew. */
export function clear(element) {
  element.replaceChildren();
  element.shownBlocks = [];
}

/** `text` as a URL if it is one that a reader may be sent to, else null. */
export function safeAddress(text) {
  if (!/^https?:\/\//i.test(text)) return null;
  try {
    const url = new URL(text);
    return url.protocol === "http:" || url.protocol === "https:" ? url.href : null;
  } catch {
    return null;
  }
}

const key = (block) => `${block.kind}\n${block.raw}`;

// -- blocks ---------------------------------------------------------------------------------------

function blocks(lines, depth) {
  const found = [];
  let at = 0;
  while (at < lines.length) {
    if (lines[at].trim() === "") {
      at += 1;
      continue;
    }
    const start = at;
    const block = fence() ?? heading() ?? rule() ?? quote() ?? list() ?? table() ?? paragraph();
    block.raw = lines.slice(start, at).join("\n");
    found.push(block);
  }
  return found;

  function fence() {
    const open = FENCE.exec(lines[at]);
    if (!open) return null;
    const close = new RegExp(`^ {0,3}${open[1][0]}{${open[1].length},}\\s*$`);
    const body = [];
    at += 1;
    while (at < lines.length && !close.test(lines[at])) body.push(lines[at++]);
    at += 1; // a fence that is still open ends with the text
    return { kind: "code", language: open[2].trim().split(/\s/)[0], text: body.join("\n") };
  }

  function heading() {
    const match = HEADING.exec(lines[at]);
    if (!match) return null;
    at += 1;
    return { kind: "heading", level: match[1].length, text: match[2] };
  }

  function rule() {
    if (!RULE.test(lines[at])) return null;
    at += 1;
    return { kind: "rule" };
  }

  function quote() {
    if (depth >= MAX_DEPTH || !QUOTE.test(lines[at])) return null;
    const body = [];
    while (at < lines.length && QUOTE.test(lines[at])) body.push(lines[at++].replace(QUOTE, ""));
    return { kind: "quote", blocks: blocks(body, depth + 1) };
  }

  function list() {
    const first = depth < MAX_DEPTH ? ITEM.exec(lines[at]) : null;
    if (!first) return null;
    const ordered = /\d/.test(first[2]);
    const indent = first[1].length;
    const items = [];
    while (at < lines.length) {
      const item = ITEM.exec(lines[at]);
      if (!item || item[1].length > indent + 1 || /\d/.test(item[2]) !== ordered) break;
      if (item[1].length < indent) break;
      const body = [item[4]];
      const inner = indent + 2;
      at += 1;
      while (at < lines.length) {
        const line = lines[at];
        const blank = line.trim() === "";
        const next = blank ? lines[at + 1] : line;
        if (next === undefined || next.trim() === "") break;
        const deep = next.search(/\S/) >= inner;
        if (!deep && (blank || ITEM.test(next) || starts(next))) break;
        body.push(line.replace(new RegExp(`^ {0,${inner + 1}}`), ""));
        at += 1;
      }
      items.push(blocks(body, depth + 1));
      if (lines[at]?.trim() === "" && ITEM.test(lines[at + 1] ?? "")) at += 1;
    }
    return { kind: "list", ordered, first: parseInt(first[2], 10), items };
  }

  function table() {
    if (!lines[at].includes("|") || !DELIMITERS.test(lines[at + 1] ?? "")) return null;
    const head = cells(lines[at]);
    if (head.length !== cells(lines[at + 1]).length || !lines[at + 1].includes("|")) return null;
    at += 2;
    const rows = [];
    while (at < lines.length && lines[at].includes("|")) rows.push(cells(lines[at++]));
    return { kind: "table", head, rows };
  }

  function paragraph() {
    const body = [lines[at++].trim()];
    while (at < lines.length && lines[at].trim() !== "" && !starts(lines[at])) {
      if (ITEM.test(lines[at]) && depth < MAX_DEPTH) break;
      body.push(lines[at++].trim());
    }
    return { kind: "paragraph", text: body.join("\n") };
  }
}

const starts = (line) =>
  FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line);

function cells(line) {
  const inner = line.trim().replace(/^\|/, "").replace(/(^|[^\\])\|$/, "$1");
  return inner.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

function blockNode(block, cite) {
  const inline = (node, text) => (node.append(...inlineNodes(text, cite, 0)), node);
  const all = (node, inner) => (node.append(...inner.map((each) => blockNode(each, cite))), node);
  switch (block.kind) {
    case "code": {
      const code = create("code");
      code.textContent = block.text;
      const pre = create("pre");
      pre.tabIndex = 0; // what scrolls must be reachable by keyboard
      if (block.language && block.language !== "text") pre.dataset.language = block.language;
      pre.append(code);
      return pre;
    }
    case "heading":
      return inline(create(block.level < 3 ? "h3" : "h4"), block.text);
    case "rule":
      return create("hr");
    case "quote":
      return all(create("blockquote"), block.blocks);
    case "list": {
      const list = create(block.ordered ? "ol" : "ul");
      if (block.ordered && block.first !== 1) list.start = block.first;
      for (const item of block.items) {
        const li = create("li");
        const [first, ...rest] = item;
        // A first paragraph needs no <p>: the list stays tight.
        if (first?.kind === "paragraph") all(inline(li, first.text), rest);
        else all(li, item);
        list.append(li);
      }
      return list;
    }
    case "table": {
      const table = create("table");
      const row = (tag, texts) => {
        const tr = create("tr");
        tr.append(...block.head.map((_, n) => inline(create(tag), texts[n] ?? "")));
        return tr;
      };
      const head = create("thead");
      head.append(row("th", block.head));
      const body = create("tbody");
      body.append(...block.rows.map((texts) => row("td", texts)));
      table.append(head, body);
      const frame = create("div");
      frame.className = "table";
      frame.tabIndex = 0;
      frame.append(table);
      return frame;
    }
    default:
      return inline(create("p"), block.text);
  }
}

// -- inline ---------------------------------------------------------------------------------------

const SPECIAL = /[\\`*_~[\]!<\n]|https?:\/\//g;
const ADDRESS = /https?:\/\/[^\s<>"'`、。，；！？）】》]+/y;
const CITATION = /\[(\d{1,3}(?:\s*[,，、]\s*\d{1,3})*)\]/y;
const LINK = /\[([^[\]\n]{0,500})\]\(\s*<?([^\s()<>]{1,2000}(?:\([^\s()<>]{0,500}\))?)>?(?:\s+["'][^"'\n]{0,500}["'])?\s*\)/y;
const PUNCTUATION = /[!-/:-@[-`{-~]/;
const WORD = /[\p{L}\p{N}]/u;

function inlineNodes(text, cite, depth) {
  const nodes = [];
  const absent = new Set(); // closers that the rest of the text does not hold: looked for once
  let plain = "";
  let at = 0;
  const flush = () => {
    if (plain) nodes.push(document.createTextNode(plain));
    plain = "";
  };
  const put = (node, next) => {
    flush();
    nodes.push(node);
    at = next;
  };
  const match = (pattern) => {
    pattern.lastIndex = at;
    return pattern.exec(text);
  };
  const closer = (mark, from) => {
    if (absent.has(mark)) return -1;
    const found = text.indexOf(mark, from);
    if (found < 0) absent.add(mark);
    return found;
  };

  while (at < text.length) {
    SPECIAL.lastIndex = at;
    const special = SPECIAL.exec(text);
    const next = special ? special.index : text.length;
    plain += text.slice(at, next);
    at = next;
    if (!special || styled()) continue;
    plain += text[at];
    at += 1;
  }
  flush();
  return nodes;

  function styled() {
    const char = text[at];
    if (char === "\n") {
      plain = plain.replace(/\\$/, "");
      put(create("br"), at + 1);
    } else if (char === "\\" && PUNCTUATION.test(text[at + 1] ?? "")) {
      plain += text[at + 1];
      at += 2;
    } else if (char === "`") return code();
    else if (char === "*" || char === "_" || char === "~") return emphasis(char);
    else if (char === "[") return citation() || link(0);
    else if (char === "!" && text[at + 1] === "[") return link(1);
    else if (char === "<") return bracketed();
    else if (char === "h" || char === "H") return address();
    else return false;
    return true;
  }

  function code() {
    const ticks = /`+/y;
    ticks.lastIndex = at;
    const mark = ticks.exec(text)[0];
    const from = at + mark.length;
    let end = closer(mark, from);
    while (end >= 0 && end - at < MAX_SPAN && text[end + mark.length] === "`") {
      let run = end;
      while (text[run] === "`") run += 1;
      end = closer(mark, run);
    }
    if (end < 0 || end - at >= MAX_SPAN) return literal(mark);
    const node = create("code");
    const inner = text.slice(from, end).replaceAll("\n", " ");
    node.textContent = /^ .*[^ ].* $/.test(inner) ? inner.slice(1, -1) : inner;
    put(node, end + mark.length);
    return true;
  }

  function emphasis(char) {
    const double = text[at + 1] === char;
    if (depth >= MAX_DEPTH || (char === "~" && !double)) return false;
    const mark = double ? char + char : char;
    const from = at + mark.length;
    if (/\s/.test(text[from] ?? " ")) return literal(mark);
    // An underscore within a word, as in snake_case, is a letter.
    if (char === "_" && WORD.test(text[at - 1] ?? "")) return literal(mark);
    let end = closer(mark, from + 1);
    while (
      end >= 0 &&
      end - at < MAX_SPAN &&
      (/\s/.test(text[end - 1]) ||
        (!double && text[end + 1] === char) ||
        (char === "_" && WORD.test(text[end + mark.length] ?? "")))
    ) {
      end = closer(mark, end + (!double && text[end + 1] === char ? 2 : 1));
    }
    if (end < 0 || end - at >= MAX_SPAN) return literal(mark);
    const node = create(char === "~" ? "s" : double ? "strong" : "em");
    node.append(...inlineNodes(text.slice(from, end), cite, depth + 1));
    put(node, end + mark.length);
    return true;
  }

  function literal(mark) {
    plain += mark;
    at += mark.length;
    return true;
  }

  function citation() {
    const found = match(CITATION);
    if (!found || text[CITATION.lastIndex] === "(") return false;
    const end = at + found[0].length;
    const chips = found[1].split(/\s*[,，、]\s*/).map((number) => cite(Number(number)));
    if (chips.some((chip) => chip === null)) return false;
    plain = plain.replace(/ $/, "\u00a0"); // a citation does not begin a line
    flush();
    nodes.push(...chips);
    at = end;
    return true;
  }

  function link(bang) {
    at += bang; // a picture is shown as a link to it: the page loads nothing from elsewhere
    const found = match(LINK);
    at -= bang;
    const href = found && safeAddress(found[2]);
    if (!href) return false;
    const label = found[1] || found[2];
    const inner = depth < MAX_DEPTH ? inlineNodes(label, () => null, MAX_DEPTH) : [label];
    put(anchor(href, inner), at + bang + found[0].length);
    return true;
  }

  function bracketed() {
    const end = text.indexOf(">", at);
    const href = end > 0 && end - at < 2000 && safeAddress(text.slice(at + 1, end));
    if (!href || /\s/.test(text.slice(at, end))) return false;
    put(anchor(href, [text.slice(at + 1, end)]), end + 1);
    return true;
  }

  function address() {
    const found = depth < MAX_DEPTH ? match(ADDRESS) : null;
    if (!found) return false;
    let shown = found[0].replace(/[.,;:!?*_~]+$/, "");
    if (shown.endsWith(")") && !shown.includes("(")) shown = shown.slice(0, -1);
    if (shown.endsWith("]") && !shown.includes("[")) shown = shown.slice(0, -1);
    const href = safeAddress(shown);
    if (!href) return false;
    put(anchor(href, [shown]), at + shown.length);
    return true;
  }
}

function anchor(href, inner) {
  const node = create("a");
  node.href = href;
  node.target = "_blank";
  node.rel = "noopener noreferrer";
  node.append(...inner);
  return node;
}

const create = (tag) => document.createElement(tag);
