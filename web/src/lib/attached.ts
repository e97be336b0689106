import type { Attachment } from "@fairlead/client";

/**
 * The files that wait to be sent with a question, as this browser keeps them: a reload, or a way
 * over a sign-in at another site, loses none. A browser that keeps nothing keeps none of them.
 */

/** A file as it is kept. */
export type Kept = Required<Pick<Attachment, "type" | "data" | "name">>;

interface Row {
  readonly conversation: string;
  readonly files: readonly Kept[];
  /** Milliseconds since 1970. */
  readonly at: number;
}

const STORE = "files";
/** Conversations whose files are kept, and bytes in all: beyond, the oldest go. */
const MOST = 20;
const MOST_BYTES = 64 * 1024 * 1024;

let opened: Promise<IDBDatabase | null> | undefined;

/** Null where the browser does not let us. */
function database(): Promise<IDBDatabase | null> {
  return (opened ??= new Promise((resolve) => {
    const opening = indexedDB.open("fairlead", 1);
    opening.onupgradeneeded = () => {
      opening.result.createObjectStore(STORE, { keyPath: "conversation" });
    };
    opening.onsuccess = () => {
      // Whoever clears what this site keeps closes it.
      opening.result.onclose = () => (opened = undefined);
      resolve(opening.result);
    };
    opening.onerror = () => resolve(null);
  }));
}

const place = (conversation: string) => conversation || "new";

/** What is asked last is done last. */
let line: Promise<unknown> = Promise.resolve();

function inTurn<T>(act: () => Promise<T>): Promise<T> {
  const turn = line.then(act);
  line = turn;
  return turn;
}

/** The files of a conversation's next question. */
export const files = (conversation: string): Promise<readonly Kept[]> =>
  inTurn(async () => {
    const found = await inside("readonly", (store) => store.get(place(conversation)));
    return (found as Row | undefined)?.files ?? [];
  });

/** Keep them, and no others; none: forget them. */
export const keepFiles = (conversation: string, files: readonly Kept[]): Promise<void> =>
  inTurn(() => put(conversation, files));

async function put(conversation: string, files: readonly Kept[]): Promise<void> {
  const key = place(conversation);
  if (!files.length) {
    await inside("readwrite", (store) => store.delete(key));
    return;
  }
  const row: Row = {
    conversation: key,
    files: files.map(({ type, data, name }) => ({ type, data, name })),
    at: Date.now(),
  };
  const rows = ((await inside("readonly", (store) => store.getAll())) ?? []) as Row[];
  const gone = beyond([row, ...rows.filter((other) => other.conversation !== key)]);
  if (gone.includes(key)) return; // too large by themselves
  for (const old of gone) await inside("readwrite", (store) => store.delete(old));
  await inside("readwrite", (store) => store.put(row));
}

/** Forget all of them. */
export const forgetFiles = (): Promise<unknown> =>
  inTurn(() => inside("readwrite", (store) => store.clear()));

/** The conversations whose files there is no room for: of the oldest, as many as it takes. Pure. */
export function beyond(rows: readonly Row[]): string[] {
  const newest = [...rows].sort((a, b) => b.at - a.at);
  let total = 0;
  return newest.flatMap(({ conversation, files }, at) => {
    total += files.reduce((sum, { data }) => sum + data.length, 0);
    return at >= MOST || total > MOST_BYTES ? [conversation] : [];
  });
}

/** What a request to the database brings; undefined where it cannot be had. */
async function inside(
  mode: IDBTransactionMode,
  ask: (store: IDBObjectStore) => IDBRequest,
): Promise<unknown> {
  const db = await database();
  if (!db) return undefined;
  return new Promise((resolve) => {
    const transaction = db.transaction(STORE, mode);
    const request = ask(transaction.objectStore(STORE));
    transaction.oncomplete = () => resolve(request.result);
    // The disk is full, say: they are here until the page is left.
    transaction.onabort = () => resolve(undefined);
  });
}
