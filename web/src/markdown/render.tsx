import { Fragment, type ReactNode } from "react";
import type { Token } from "markdown-it";
import { Cite } from "../chat/Cite.js";
import { words } from "../words/words.js";
import { CodeBlock } from "./CodeBlock.js";

/** What text may lead to: nothing that a browser would run. */
const LINK = /^(?:https?:|mailto:)/i;
/** Pictures that come with the text itself; nothing is fetched from elsewhere. */
const PICTURE = /^data:image\/(?:png|jpeg|gif|webp);base64,/i;
const MARK = /\[(\d{1,3})\]/g;

interface Context {
  /** How many sources there are to cite. */
  sources: number;
  /** Whether more may come to the block. */
  open: boolean;
}

/** A block's tokens as elements. Nothing in them reaches the document but as text. */
export function render(tokens: readonly Token[], context: Context): ReactNode[] {
  return new Renderer(tokens, context).until(null);
}

/** What has the direction of its first letters, and all in it with it: marks and lines stand there. */
const DIRECTED = /^(?:blockquote|bullet_list|ordered_list|table)_open$/;

class Renderer {
  #at = 0;
  /** How many such blocks this is in. */
  #within = 0;
  readonly #tokens: readonly Token[];
  readonly #context: Context;

  constructor(tokens: readonly Token[], context: Context) {
    this.#tokens = tokens;
    this.#context = context;
  }

  /** The elements up to the token of type `end`, which is passed over. */
  until(end: string | null): ReactNode[] {
    const found: ReactNode[] = [];
    while (this.#at < this.#tokens.length) {
      const token = this.#tokens[this.#at]!;
      const key = this.#at;
      this.#at += 1;
      if (token.type === end) break;
      found.push(<Fragment key={key}>{this.#element(token)}</Fragment>);
    }
    return found;
  }

  #element(token: Token): ReactNode {
    const { type, content } = token;
    if (token.nesting === 1) {
      const directed = DIRECTED.test(type) ? 1 : 0;
      this.#within += directed;
      const children = this.until(type.replace("_open", "_close"));
      this.#within -= directed;
      return this.#nested(token, children);
    }
    switch (type) {
      case "inline":
        return render(token.children ?? [], this.#context);
      case "text":
        return this.#text(content);
      case "softbreak":
      case "hardbreak":
        return <br />;
      case "code_inline":
        return <code>{content}</code>;
      case "fence":
      case "code_block": {
        const language = token.info.trim().split(/\s/)[0] ?? "";
        return <CodeBlock code={content} language={language} open={this.#context.open} />;
      }
      case "hr":
        return <hr />;
      case "image":
        return picture(token);
      default:
        return content;
    }
  }

  #nested(token: Token, children: ReactNode[]): ReactNode {
    // An element with a direction of its own does not count for that of the one around it.
    const dir = this.#within ? undefined : "auto";
    switch (token.type) {
      case "paragraph_open":
        return token.hidden ? children : <p dir={dir}>{children}</p>;
      case "heading_open": {
        // Below the page's own headings.
        const Heading = `h${Math.min(6, Number(token.tag[1]) + 2)}` as "h3";
        return <Heading dir={dir}>{children}</Heading>;
      }
      case "bullet_list_open":
        return <ul dir={dir}>{children}</ul>;
      case "ordered_list_open":
        return (
          <ol dir={dir} start={Number(token.attrGet("start") ?? 1)}>
            {children}
          </ol>
        );
      case "list_item_open":
        return <li>{children}</li>;
      case "blockquote_open":
        return <blockquote dir={dir}>{children}</blockquote>;
      case "em_open":
        return <em>{children}</em>;
      case "strong_open":
        return <strong>{children}</strong>;
      case "s_open":
        return <s>{children}</s>;
      case "link_open":
        return link(String(token.attrGet("href") ?? ""), children);
      case "table_open":
        return (
          <div className="table-box" dir={dir} tabIndex={0} role="region" aria-label={words.table}>
            <table>{children}</table>
          </div>
        );
      case "thead_open":
        return <thead>{children}</thead>;
      case "tbody_open":
        return <tbody>{children}</tbody>;
      case "tr_open":
        return <tr>{children}</tr>;
      case "th_open":
        return <th className={aligned(token)}>{children}</th>;
      case "td_open":
        return <td className={aligned(token)}>{children}</td>;
      default:
        return children;
    }
  }

  #text(content: string): ReactNode {
    const { sources } = this.#context;
    if (!sources || !content.includes("[")) return content;
    const found: ReactNode[] = [];
    let last = 0;
    for (const match of content.matchAll(MARK)) {
      const number = Number(match[1]);
      if (number < 1 || number > sources) continue;
      found.push(content.slice(last, match.index), <Cite key={match.index} number={number} />);
      last = match.index + match[0].length;
    }
    return last ? [...found, content.slice(last)] : content;
  }
}

function link(href: string, children: ReactNode): ReactNode {
  if (!LINK.test(href)) return children;
  return (
    <a href={href} target="_blank" rel="noopener noreferrer nofollow">
      {children}
    </a>
  );
}

function picture(token: Token): ReactNode {
  const source = String(token.attrGet("src") ?? "");
  const name = token.content || source;
  if (PICTURE.test(source)) return <img src={source} alt={token.content} />;
  return link(source, name);
}

function aligned(token: Token): string | undefined {
  return /text-align:(\w+)/.exec(String(token.attrGet("style") ?? ""))?.[1];
}
