import { Fairlead, type Access, type TransportName } from "@fairlead/client";
import { Server } from "@fairlead/client/server";
import { createContext, use } from "react";
import { Line } from "../wire/line.js";
import { Meters } from "../wire/meter.js";

export type Transport = "auto" | TransportName;

const KEY = "fairlead.key";
const TRANSPORT = "fairlead.transport";

/** What the page talks to its server through, as one person. */
export interface Session {
  readonly client: Fairlead;
  readonly server: Server;
  readonly line: Line;
  readonly meters: Meters;
}

/** Where the server is, and the credential that this browser keeps, if it keeps one. */
export function access(): Access {
  const key = localStorage.getItem(KEY);
  return {
    baseUrl: new URL("./", document.baseURI).href,
    ...(key && { apiKey: key }),
  };
}

/** A session with that credential. */
export function begin(): Session {
  const line = new Line();
  const client = new Fairlead({
    ...access(),
    fetch: line.fetch,
    WebSocket: line.WebSocket,
    // A browser opens six connections to a host over HTTP/1.1, for all tabs together, and many more
    // WebSockets. Over HTTP/2 streams cost nothing.
    interruptible: !multiplexed(),
    maxRetries: Infinity,
    // Whoever asks is told, and decides.
    refusals: "throw",
  });
  client.prefer(transport());
  return { client, server: new Server(access()), line, meters: new Meters() };
}

/** The transport that was chosen in this tab. */
export function transport(): Transport {
  return (sessionStorage.getItem(TRANSPORT) as Transport | null) ?? "auto";
}

export function choose(session: Session, transport: Transport): void {
  sessionStorage.setItem(TRANSPORT, transport);
  session.client.prefer(transport);
}

/** Keep a credential; an empty one forgets it. */
export function keep(key: string): void {
  if (key) localStorage.setItem(KEY, key);
  else localStorage.removeItem(KEY);
}

export function keepsKey(): boolean {
  return localStorage.getItem(KEY) !== null;
}

function multiplexed(): boolean {
  const [navigation] = performance.getEntriesByType("navigation");
  return /^h[23]/.test(
    (navigation as PerformanceNavigationTiming | undefined)?.nextHopProtocol ?? "",
  );
}

export const SessionContext = createContext<Session | null>(null);

export function useSession(): Session {
  const session = use(SessionContext);
  if (!session) throw new TypeError("there is no session here");
  return session;
}
