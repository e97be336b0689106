import hljs from "highlight.js/lib/core";
import bash from "highlight.js/lib/languages/bash";
import c from "highlight.js/lib/languages/c";
import cpp from "highlight.js/lib/languages/cpp";
import csharp from "highlight.js/lib/languages/csharp";
import css from "highlight.js/lib/languages/css";
import diff from "highlight.js/lib/languages/diff";
import dockerfile from "highlight.js/lib/languages/dockerfile";
import go from "highlight.js/lib/languages/go";
import ini from "highlight.js/lib/languages/ini";
import java from "highlight.js/lib/languages/java";
import javascript from "highlight.js/lib/languages/javascript";
import json from "highlight.js/lib/languages/json";
import kotlin from "highlight.js/lib/languages/kotlin";
import markdown from "highlight.js/lib/languages/markdown";
import nginx from "highlight.js/lib/languages/nginx";
import php from "highlight.js/lib/languages/php";
import python from "highlight.js/lib/languages/python";
import ruby from "highlight.js/lib/languages/ruby";
import rust from "highlight.js/lib/languages/rust";
import sql from "highlight.js/lib/languages/sql";
import swift from "highlight.js/lib/languages/swift";
import typescript from "highlight.js/lib/languages/typescript";
import xml from "highlight.js/lib/languages/xml";
import yaml from "highlight.js/lib/languages/yaml";
import type { ReactNode } from "react";

const LANGUAGES = {
  ...{ bash, c, cpp, csharp, css, diff, dockerfile, go, ini, java, javascript, json, kotlin },
  ...{ markdown, nginx, php, python, ruby, rust, sql, swift, typescript, xml, yaml },
};
for (const [name, language] of Object.entries(LANGUAGES)) hljs.registerLanguage(name, language);
hljs.registerAliases(["toml"], { languageName: "ini" });

interface Piece {
  scope?: string;
  children: (Piece | string)[];
}

/** Code as coloured elements; as it is where its language is not known. */
export function highlight(code: string, language: string): ReactNode {
  if (!hljs.getLanguage(language)) return code;
  const { _emitter } = hljs.highlight(code, { language, ignoreIllegals: true });
  // The tree, and not the HTML that could be made of it.
  const { rootNode } = _emitter as unknown as { rootNode: Piece };
  return elements(rootNode.children);
}

function elements(children: Piece["children"]): ReactNode[] {
  return children.map((child, at) =>
    typeof child === "string" ? (
      child
    ) : (
      <span key={at} className={child.scope ? `hl-${child.scope.split(".")[0]}` : undefined}>
        {elements(child.children)}
      </span>
    ),
  );
}
