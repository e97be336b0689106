import { useRef, useState, type DragEvent, type ReactNode } from "react";
import { words } from "../words/words.js";

interface Props {
  onFiles: (files: readonly File[]) => void;
  /** How names of documents end that may be dropped; null: none may. */
  documents: readonly string[] | null;
  onDocuments: (files: readonly File[]) => void;
  children: ReactNode;
}

/** Where files are dropped: to go with the question, or into the documents. */
export function DropZone({ onFiles, documents, onDocuments, children }: Props) {
  const [over, setOver] = useState<"" | "question" | "documents">("");
  const depth = useRef(0);
  const has = (event: DragEvent) => event.dataTransfer.types.includes("Files");
  const enter = (event: DragEvent) => {
    if (!has(event)) return;
    depth.current += 1;
    setOver((before) => before || "question");
  };
  const leave = () => {
    depth.current = Math.max(0, depth.current - 1);
    if (depth.current === 0) setOver("");
  };
  const drop = (event: DragEvent, where: "question" | "documents") => {
    if (!has(event)) return;
    event.preventDefault();
    event.stopPropagation();
    depth.current = 0;
    setOver("");
    (where === "documents" ? onDocuments : onFiles)([...event.dataTransfer.files]);
  };
  const zone = (where: "question" | "documents", text: string) => (
    <div
      className="drop"
      data-drop={where}
      data-over={over === where || undefined}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(where);
      }}
      onDrop={(event) => drop(event, where)}
    >
      {text}
    </div>
  );
  return (
    <div
      className="stage"
      onDragEnter={enter}
      onDragLeave={leave}
      onDragOver={(event) => {
        if (has(event)) event.preventDefault();
      }}
      onDrop={(event) => drop(event, "question")}
    >
      {children}
      {over && (
        <div className="drops">
          {zone("question", words.dropHere)}
          {documents && zone("documents", `${words.dropDocument} (${documents.join(", ")})`)}
        </div>
      )}
    </div>
  );
}
