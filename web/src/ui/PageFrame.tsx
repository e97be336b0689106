import type { Me } from "@fairlead/client";
import type { ReactNode } from "react";
import { words } from "../words/words.js";
import { PageLinks, type PageName } from "./PageLinks.js";

interface Props {
  page: PageName;
  me: Me;
  children: ReactNode;
}

/** The frame of a page that is not the chat: where one is, and where one may go. */
export function PageFrame({ page, me, children }: Props) {
  return (
    <div className="page">
      <header className="page-bar">
        <img src="./icon.svg" alt="" width="26" height="26" />
        <span className="page-brand">{words.appName}</span>
        <PageLinks page={page} me={me} />
      </header>
      {children}
    </div>
  );
}
