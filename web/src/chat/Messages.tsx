import type { Source } from "@fairlead/client";
import type { ChatMessage } from "@fairlead/client/react";
import { useEffect, useLayoutEffect, useRef, useState, type ReactNode } from "react";
import { IconButton } from "../ui/IconButton.js";
import { words } from "../words/words.js";
import { AnswerView } from "./AnswerView.js";
import { QuestionView } from "./QuestionView.js";

interface Props {
  messages: readonly ChatMessage[];
  loading: boolean;
  busy: boolean;
  conversation: string;
  online: boolean;
  onSource: (source: Source, number: number) => void;
  onRegenerate: (message: ChatMessage) => void;
  onContinue: () => void;
  onEdit: (message: ChatMessage, text: string) => unknown;
  onChoose: (id: string) => void;
  children?: ReactNode;
}

/** Messages that are rendered at once when a conversation opens; the older ones follow. */
const FIRST = 16;
/** How many follow in each pause. */
const NEXT = 24;
/** Pixels above the end that still count as being there. */
const NEAR = 60;

/** The messages of a conversation. Who is at its end stays there, and who reads further up, too. */
export function Messages(props: Props) {
  const { messages, loading, busy, conversation, children } = props;
  const scroller = useRef<HTMLElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const stuck = useRef(true);
  const [atEnd, setAtEnd] = useState(true);
  const count = useGradually(messages.length, conversation);
  const shown = messages.slice(-count);

  const toEnd = () => {
    const element = scroller.current;
    if (element) element.scrollTop = element.scrollHeight;
  };
  useEffect(() => {
    const element = scroller.current!;
    let top = element.scrollTop;
    const scrolled = () => {
      const end = element.scrollHeight - element.clientHeight - element.scrollTop < NEAR;
      // Content that grows under one's feet moves the end away: only going up leaves it.
      if (end) stuck.current = true;
      else if (element.scrollTop < top) stuck.current = false;
      top = element.scrollTop;
      setAtEnd(end || stuck.current);
    };
    element.addEventListener("scroll", scrolled, { passive: true });
    const follow = new ResizeObserver(() => {
      if (stuck.current) toEnd();
      else scrolled();
    });
    follow.observe(content.current!);
    follow.observe(element);
    return () => {
      element.removeEventListener("scroll", scrolled);
      follow.disconnect();
    };
  }, []);

  // A question that was just asked is to be seen, and so is the end of a conversation just opened.
  const asked = messages.findLast(({ role }) => role === "user")?.key;
  useLayoutEffect(() => {
    stuck.current = true;
    toEnd();
  }, [asked, loading]);

  return (
    <main
      ref={scroller}
      className="messages"
      role="log"
      aria-live="off"
      aria-label={words.messages}
      aria-busy={loading || busy}
      tabIndex={0}
    >
      <div ref={content} className="column">
        {loading && messages.length === 0 && (
          <p className="appear-late py-6 text-center text-soft">{words.loading}</p>
        )}
        {shown.map((message, at) =>
          message.role === "user" ? (
            <QuestionView
              key={message.key}
              message={message}
              conversation={conversation}
              busy={busy}
              onEdit={props.onEdit}
              onChoose={props.onChoose}
            />
          ) : (
            <AnswerView
              key={message.key}
              message={message}
              last={at === shown.length - 1}
              busy={busy}
              online={props.online}
              onSource={props.onSource}
              onRegenerate={props.onRegenerate}
              onContinue={props.onContinue}
              onChoose={props.onChoose}
            />
          ),
        )}
        {children}
      </div>
      {!atEnd && (
        <IconButton
          icon="down"
          label={words.jump}
          className="jump"
          onClick={() => {
            stuck.current = true;
            toEnd();
          }}
        />
      )}
    </main>
  );
}

/** How many of so many messages to render: the newest at once, the others when there is time. */
function useGradually(length: number, conversation: string): number {
  const [state, setState] = useState({ conversation, count: FIRST });
  const count = state.conversation === conversation ? state.count : FIRST;
  useEffect(() => {
    if (count >= length) return;
    const idle = globalThis.requestIdleCallback ?? ((work: () => void) => setTimeout(work, 30));
    const cancel = globalThis.cancelIdleCallback ?? clearTimeout;
    const handle = idle(() => setState({ conversation, count: count + NEXT }));
    return () => cancel(handle);
  }, [count, length, conversation]);
  return count;
}
