import { memo, useEffect, useState, type ReactNode } from "react";
import { words } from "../words/words.js";
import { CopyButton } from "../ui/CopyButton.js";

/** More code than this is shown in one colour. */
const MOST = 40_000;

interface Props {
  code: string;
  language: string;
  /** More is to come: it is coloured when it is complete. */
  open: boolean;
}

/** Code, coloured once it is complete and the colours have been fetched. */
export const CodeBlock = memo(function CodeBlock({ code, language, open }: Props) {
  const [coloured, setColoured] = useState<{ code: string; nodes: ReactNode } | null>(null);
  useEffect(() => {
    if (open || !language || code.length > MOST) return;
    let left = false;
    void import("./highlight.js").then(({ highlight }) => {
      if (!left) setColoured({ code, nodes: highlight(code, language) });
    });
    return () => {
      left = true;
    };
  }, [code, language, open]);
  return (
    <figure className="code" dir="ltr">
      <figcaption>
        <span>{language || words.code}</span>
        <CopyButton text={code} label={words.copyCode} />
      </figcaption>
      <pre tabIndex={0}>
        <code>{coloured?.code === code ? coloured.nodes : code}</code>
      </pre>
    </figure>
  );
});
