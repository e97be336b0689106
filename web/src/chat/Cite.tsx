import { createContext, use } from "react";
import { words } from "../words/words.js";
import type { Source } from "@fairlead/client";

/** The sources of the answer that is being rendered, and what opens one. */
export interface Cited {
  sources: readonly Source[];
  open: (number: number) => void;
}

export const CitedContext = createContext<Cited>({ sources: [], open: () => {} });

/** A chip in the text that leads to its source. */
export function Cite({ number }: { number: number }) {
  const { sources, open } = use(CitedContext);
  const title = sources[number - 1]?.title ?? "";
  const label = words.source(number, title);
  return (
    <button
      type="button"
      className="cite"
      title={label}
      aria-label={label}
      onClick={() => open(number)}
    >
      {number}
    </button>
  );
}
