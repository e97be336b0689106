// The client class that articles on LLM dialogues over SSE show, re-expressed. It runs unchanged in
// Node and in browsers. What it does there: POST with a bearer token, JSON.parse of every block,
// at most three retries, each waiting 1000 ms times the attempt, 4xx final, openWhenHidden, and a
// function to cancel. Where the samples go wrong, a comment says what was mended.
import { fetchEventSource } from "@microsoft/fetch-event-source";

class Final extends Error {}

export class ChatClient {
  constructor({ url, token = "", path = "/chat/stream", maxRetries = 3, retryDelay = 1000 }) {
    Object.assign(this, { url, token, path, maxRetries, retryDelay });
  }

  /** Ask; answers with a function that cancels. */
  chat(message, { onThinking, onSources, onToken, onDone, onError }, { body = {}, headers = {}, onOpen } = {}) {
    const controller = new AbortController();
    let retries = 0;
    let ended = false;
    fetchEventSource(this.url + this.path, {
      method: "POST",
      headers: { "Content-Type": "application/json", Authorization: `Bearer ${this.token}`, ...headers },
      body: JSON.stringify({ message, ...body }),
      signal: controller.signal,
      openWhenHidden: true,
      onopen: async (response) => {
        onOpen?.(response);
        if (response.ok) {
          retries = 0;
          return;
        }
        const { error } = await response.json();
        // 408, 425 and 429 mean "later", not "never"; the samples give up on them.
        const later = [408, 425, 429].includes(response.status);
        throw response.status < 500 && !later ? new Final(error) : new Error(error);
      },
      onmessage: ({ event, data }) => {
        const value = JSON.parse(data);
        if (event === "thinking") onThinking?.(value);
        else if (event === "sources") onSources?.(value.sources);
        else if (event === "token") for (const token of value.tokens ?? [value.token]) onToken?.(token);
        else if (event === "done") (ended = true), onDone?.(value);
        else if (event === "error") (ended = true), onError?.(new Error(value.error));
      },
      onclose: () => {
        // The samples take any end of the body for the end of the answer. A server that restarts
        // ends bodies properly and wants its readers back.
        if (!ended) throw new Error("the connection ended before the answer did");
      },
      onerror: (error) => {
        if (error instanceof Final || retries >= this.maxRetries) throw error;
        retries += 1;
        return this.retryDelay * retries;
      },
    }).catch((error) => {
      if (!ended) onError?.(error);
    });
    return () => controller.abort();
  }
}

/** Callbacks that report everything, for the drivers of this folder. */
export function reporting(report) {
  return {
    onThinking: (value) => report({ is: "thinking", ...value }),
    onSources: (sources) => report({ is: "sources", sources }),
    onToken: (token) => report({ is: "token", token }),
    onDone: (value) => report({ is: "done", ...value }),
    onError: (error) => report({ is: "error", error: error.message }),
  };
}
