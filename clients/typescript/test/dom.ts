// A document for React, which looks for one when it is imported: this goes before it. Only what
// React asks for, so that the client uses Node's own fetch.
import { GlobalWindow } from "happy-dom";

export const page = new GlobalWindow();

Object.assign(globalThis, {
  window: page,
  document: page.document,
  HTMLElement: page.HTMLElement,
  navigator: page.navigator,
});
