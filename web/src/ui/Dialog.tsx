import { useLayoutEffect, useRef, type ReactNode } from "react";
import { words } from "../words/words.js";
import { IconButton } from "./IconButton.js";

interface Props {
  title: string;
  /** For what needs the room. */
  wide?: boolean;
  onClose: () => void;
  children: ReactNode;
}

/** Something to be dealt with first. */
export function Dialog({ title, wide = false, onClose, children }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  // Closed before it is taken away, it gives the focus back to where that was.
  useLayoutEffect(() => {
    const element = dialog.current!;
    element.showModal();
    return () => element.close();
  }, []);
  return (
    <dialog
      ref={dialog}
      className="dialog"
      data-wide={wide || undefined}
      aria-labelledby="dialog-title"
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onClick={(event) => {
        if (event.target === dialog.current) onClose();
      }}
    >
      <div className="grid gap-4 p-5">
        <header className="flex items-center">
          <h2 id="dialog-title" className="text-lg font-semibold">
            {title}
          </h2>
          <IconButton icon="close" label={words.close} className="ms-auto" onClick={onClose} />
        </header>
        {children}
      </div>
    </dialog>
  );
}
