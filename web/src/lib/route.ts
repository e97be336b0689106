import { useSyncExternalStore } from "react";

/** Where one is in the page. */
export type Route = { page: "chat"; conversation: string } | { page: "lab" | "operator" };

/** The place that an address's fragment names. Pure. */
export function routeOf(hash: string): Route {
  const [first = "", second = ""] = hash.replace(/^#\/?/, "").split("/");
  if (first === "lab" || first === "operator") return { page: first };
  return { page: "chat", conversation: first === "c" ? decoded(second) : "" };
}

/** Not everything that people paste was encoded by this page. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (error) {
    if (error instanceof URIError) return text;
    throw error;
  }
}

export const toConversation = (id: string) => (id ? `#/c/${encodeURIComponent(id)}` : "#/");

/** Go to a conversation; "": a new one. `replace`: one does not come back to where one was. */
export function go(id: string, { replace = false } = {}): void {
  history[replace ? "replaceState" : "pushState"](null, "", toConversation(id));
  dispatchEvent(new HashChangeEvent("hashchange"));
}

const subscribe = (changed: () => void) => {
  addEventListener("hashchange", changed);
  addEventListener("popstate", changed);
  return () => {
    removeEventListener("hashchange", changed);
    removeEventListener("popstate", changed);
  };
};

let left = "";

/** The address of the conversation that one was last in, to come back to from another page. */
export const backToChat = () => toConversation(left);

export function useRoute(): Route {
  const route = routeOf(useSyncExternalStore(subscribe, () => location.hash));
  if (route.page === "chat") left = route.conversation;
  return route;
}
