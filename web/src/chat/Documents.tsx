import { FairleadError, type Info, type TakenDocument } from "@fairlead/client";
import { useCallback, useState } from "react";
import { useSession } from "../lib/session.js";
import { IconButton } from "../ui/IconButton.js";
import { bytes, inWords, words } from "../words/words.js";

/** A document on its way into the knowledge base. */
interface Item {
  readonly id: number;
  readonly name: string;
  readonly taken: TakenDocument | null;
  readonly refused: string;
}

let made = 0;

/** The documents that were dropped here, and what became of them. */
export function useDocuments(info: Info) {
  const { server } = useSession();
  const [items, setItems] = useState<readonly Item[]>([]);
  const limits = info.documents;

  const add = useCallback(
    (files: readonly File[]) => {
      if (!limits) return;
      const fresh = files.map((file) => {
        const item: Item = { id: (made += 1), name: file.name, taken: null, refused: "" };
        if (!limits.types.some((type) => file.name.toLowerCase().endsWith(type))) {
          return { file, item: { ...item, refused: words.wrongType(file.name) } };
        }
        if (file.size > limits.bytes) {
          return {
            file,
            item: { ...item, refused: words.tooLarge(file.name, bytes(limits.bytes)) },
          };
        }
        return { file, item };
      });
      setItems((before) => [
        ...before.filter(({ taken }) => !taken),
        ...fresh.map(({ item }) => item),
      ]);
      void (async () => {
        // One after the other: each is whole before the next begins.
        for (const { file, item } of fresh) {
          if (item.refused) continue;
          const result = await sent(file);
          setItems((all) => all.map((one) => (one.id === item.id ? { ...one, ...result } : one)));
        }
      })();

      async function sent(file: File): Promise<Partial<Item>> {
        try {
          return { taken: await server.document(file.name, file) };
        } catch (problem) {
          if (!(problem instanceof FairleadError)) throw problem;
          const { text, detail } = inWords(problem);
          return { refused: problem.code === "bad_request" ? detail : text };
        }
      }
    },
    [limits, server],
  );
  return { items, add, clear: useCallback(() => setItems([]), []) };
}

/** How far documents have come that are being taken in. */
export function Documents({ items, onClose }: { items: readonly Item[]; onClose: () => void }) {
  if (!items.length) return null;
  const done = items.filter(({ taken, refused }) => taken || refused).length;
  return (
    <section className="documents" aria-label={words.documents}>
      <header>
        <h2>{words.documents}</h2>
        <progress aria-label={words.documents} max={items.length} value={done} />
        <span className="text-soft">
          {done}/{items.length}
        </span>
        <IconButton icon="close" size={15} label={words.close} onClick={onClose} />
      </header>
      <ul aria-live="polite">
        {items.map(({ id, name, taken, refused }) => (
          <li key={id} data-outcome={taken?.outcome ?? (refused ? "refused" : "sending")}>
            <span className="truncate">{name}</span>
            <span className={refused ? "text-bad" : "text-soft"}>
              {refused ||
                (taken
                  ? taken.outcome === "unchanged"
                    ? words.unchanged
                    : words.taken(taken.passages)
                  : words.sending)}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}
