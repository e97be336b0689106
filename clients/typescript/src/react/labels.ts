/** The words that the components say. */
export interface Labels {
  chat: string;
  input: string;
  send: string;
  stop: string;
  thinking: string;
  sources: string;
  you: string;
  answer: string;
}

/** The words in English. */
export const LABELS: Labels = {
  chat: "Chat",
  input: "Your question",
  send: "Send",
  stop: "Stop",
  thinking: "Thinking…",
  sources: "Sources",
  you: "You",
  answer: "Answer",
};
