import { expect, test } from "vitest";
import type { Conversation, ConversationMessage } from "../src/index.js";
import { branch, known, newestAfter, question } from "../src/react/messages.js";

const message = (id: string, parent: string | null, role: "user" | "assistant") =>
  ({
    message_id: id,
    parent,
    role,
    text: id,
    status: "completed",
    created: 1,
  }) as ConversationMessage;

// q1 – a1 – q2 – a2
//    |     \ q3 – a3
//    \ b1
const TREE: Conversation = {
  ...{ conversation_id: "c", title: "", created: 1, updated: 1, leaf: "a2" },
  messages: [
    message("q1", null, "user"),
    message("a1", "q1", "assistant"),
    message("q2", "a1", "user"),
    message("a2", "q2", "assistant"),
    message("b1", "q1", "assistant"),
    message("q3", "a1", "user"),
    message("a3", "q3", "assistant"),
  ],
};

test("a branch is shown with what stands beside each of its messages", () => {
  expect(branch(TREE).map(({ id, siblings }) => [id, siblings])).toEqual([
    ["q1", ["q1"]],
    ["a1", ["a1", "b1"]],
    ["q2", ["q2", "q3"]],
    ["a2", ["a2"]],
  ]);
});

test("choosing a message takes the newest one that follows it", () => {
  expect(newestAfter(TREE, "a1")).toBe("a3");
  expect(newestAfter(TREE, "q2")).toBe("a2");
  expect(newestAfter(TREE, "b1")).toBe("b1");
});

test("what was read here stays, and learns its ids and siblings", () => {
  const shown = branch({ ...TREE, leaf: "a3" });
  const asked = { ...question("new", "q3"), siblings: [] };
  const mine = [...shown.slice(0, 2), asked, { ...shown[3]!, text: "as it was read" }];
  const better = known(mine, { ...TREE, leaf: "a3" })!;
  expect(better.map(({ key, id, text }) => [key, id, text])).toEqual([
    ["q1", "q1", "q1"],
    ["a1", "a1", "a1"],
    ["new", "q3", "q3"],
    ["a3", "a3", "as it was read"],
  ]);
  expect(better[2]!.siblings).toEqual(["q2", "q3"]);
  expect(known(mine, TREE)).toBeNull();
  expect(known(mine.slice(0, 2), TREE)).toBeNull();
});
