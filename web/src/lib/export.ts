import type { ChatMessage } from "@fairlead/client/react";
import { words, type Words } from "../words/words.js";

/** A conversation as Markdown: the branch that is shown, with its sources. Pure. */
export function asMarkdown(
  title: string,
  messages: readonly ChatMessage[],
  said: Words = words,
): string {
  const parts = [`# ${title || said.untitled}`];
  for (const { role, text, model, sources, attachments } of messages) {
    const who = role === "user" ? said.you : said.answer;
    parts.push(`## ${who}${role === "assistant" && model ? ` (${model})` : ""}`);
    if (attachments.length) {
      parts.push(attachments.map(({ name, type }) => `- ${name ?? type}`).join("\n"));
    }
    if (text.trim()) parts.push(text.trim());
    if (sources.length) {
      const listed = sources.map(
        ({ title, address }, at) => `${at + 1}. ${title || address}${title ? ` <${address}>` : ""}`,
      );
      parts.push(`${said.sources}:\n\n${listed.join("\n")}`);
    }
  }
  return `${parts.join("\n\n")}\n`;
}

/** The name of a file for it, which every system takes. Pure. */
export function fileName(title: string, said: Words = words): string {
  const name = title
    .replace(/[\p{C}\\/:*?"<>|.]+/gu, " ")
    .replace(/\s+/g, " ")
    .trim();
  return `${[...(name || said.untitled)].slice(0, 80).join("").trim()}.md`;
}

/** Save a conversation as a file. */
export function save(title: string, messages: readonly ChatMessage[]): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(
    new Blob([asMarkdown(title, messages)], { type: "text/markdown" }),
  );
  link.download = fileName(title);
  link.click();
  URL.revokeObjectURL(link.href);
}
