import type { Me } from "@fairlead/client";
import { backToChat } from "../lib/route.js";
import { words } from "../words/words.js";

export type PageName = keyof typeof words.page;

/** The pages, for whoever may see them: the operator's is for the scope `admin`. */
export function PageLinks({ page, me }: { page: PageName; me: Me }) {
  const pages: PageName[] = ["chat", "lab"];
  if (me.scopes?.includes("admin")) pages.push("operator");
  return (
    <nav className="page-links" aria-label={words.pages}>
      {pages.map((name) => (
        <a
          key={name}
          href={name === "chat" ? backToChat() : `#/${name}`}
          aria-current={name === page ? "page" : undefined}
        >
          {words.page[name]}
        </a>
      ))}
    </nav>
  );
}
