import type { ChatMessage } from "@fairlead/client/react";
import { useEffect, useRef, useState } from "react";
import { nextSaid, PAUSE } from "../lib/speech.js";
import { words } from "../words/words.js";

/** Says for those who do not see it how an answer goes: whole sentences, now and then, no flood. */
export function Announcer({ message }: { message: ChatMessage | undefined }) {
  const [spoken, setSpoken] = useState("");
  const now = useRef({ key: "", said: 0, text: "" });
  const running = message?.role === "assistant" && message.status === "running";
  const key = message?.key ?? "";
  now.current.text = message?.text ?? "";

  useEffect(() => {
    if (!running) return;
    now.current = { key, said: now.current.text.length, text: now.current.text };
    setSpoken(words.announceStart);
    const timer = setInterval(() => {
      const next = nextSaid(now.current.text, now.current.said);
      now.current.said = next.said;
      if (next.words) setSpoken(next.words);
    }, PAUSE);
    return () => clearInterval(timer);
  }, [running, key]);

  const status = message?.status;
  useEffect(() => {
    if (running || !status || now.current.key !== key) return;
    const { words: rest } = nextSaid(`${now.current.text}\n`, now.current.said);
    const end =
      status === "completed"
        ? words.announceEnd
        : status === "stopped"
          ? words.announceStopped
          : words.announceFailed;
    setSpoken(`${rest} ${end}`.trim());
    now.current.key = "";
  }, [running, status, key]);

  return (
    <p className="sr-only" aria-live="polite" data-announcer>
      {spoken}
    </p>
  );
}
