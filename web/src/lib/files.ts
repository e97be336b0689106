import type { Attachment, Info } from "@fairlead/client";
import { bytes, words } from "../words/words.js";
import type { Kept } from "./attached.js";

type Limits = Info["attachments"];

/** A file that is to go along with a question. */
export interface Chosen extends Attachment {
  readonly id: number;
  readonly name: string;
  /** To show a picture by; empty for others. */
  readonly preview: string;
}

const BY_NAME: Record<string, string> = {
  md: "text/markdown",
  markdown: "text/markdown",
  csv: "text/csv",
  json: "application/json",
};

/** The media type of a file, as servers know it. Pure. */
export function typeOf(name: string, given: string, types: readonly string[]): string {
  const extension = name.split(".").at(-1)?.toLowerCase() ?? "";
  const type = given.split(";")[0]!.trim().toLowerCase();
  const guess = BY_NAME[extension] ?? type;
  if (types.includes(guess)) return guess;
  // Programs, settings, logs: text all the same, if it is one.
  const texts = /^text\/|^application\/(?:javascript|xml|x-sh|toml|yaml|x-yaml|sql)/;
  return (!type || texts.test(type)) && types.includes("text/plain") ? "text/plain" : guess;
}

let made = 0;

/** A file as it is shown before it is sent. */
export function chosenOf({ type, data, name }: Kept): Chosen {
  const picture = type.startsWith("image/");
  const preview = picture
    ? URL.createObjectURL(new Blob([data as Uint8Array<ArrayBuffer>], { type }))
    : "";
  return { id: (made += 1), type, data, name, preview };
}

/** Take files along with those chosen before; what cannot be is said. */
export async function take(
  files: readonly File[],
  before: readonly Chosen[],
  limits: Limits,
): Promise<{ chosen: Chosen[]; refused: string[] }> {
  const chosen = [...before];
  const refused: string[] = [];
  let total = before.reduce((sum, { data }) => sum + data.length, 0);
  for (const file of files) {
    const type = typeOf(file.name, file.type, limits.types);
    if (chosen.length >= limits.number) {
      refused.push(words.tooMany(limits.number));
      break;
    }
    if (!limits.types.includes(type)) refused.push(words.wrongType(file.name));
    else if (file.size > limits.bytes) refused.push(words.tooLarge(file.name, bytes(limits.bytes)));
    else if (total + file.size > limits.total) {
      refused.push(words.tooLargeTogether(bytes(limits.total)));
    } else {
      const data = new Uint8Array(await file.arrayBuffer());
      if (!type.startsWith("image/") && !isText(data)) {
        refused.push(words.wrongType(file.name));
        continue;
      }
      total += data.length;
      chosen.push(chosenOf({ type, data, name: file.name }));
    }
  }
  return { chosen, refused };
}

function isText(data: Uint8Array): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(data);
    return !data.includes(0);
  } catch {
    return false;
  }
}
