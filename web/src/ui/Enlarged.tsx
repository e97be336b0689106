import { useState } from "react";
import { words } from "../words/words.js";
import { Dialog } from "./Dialog.js";

interface Props {
  source: string;
  name: string;
  className: string;
}

/** A picture that is shown as large as there is room when one asks for it. */
export function Enlarged({ source, name, className }: Props) {
  const [large, setLarge] = useState(false);
  return (
    <>
      <button
        type="button"
        className="enlarge"
        aria-label={words.enlarge(name)}
        onClick={() => setLarge(true)}
      >
        <img className={className} src={source} alt={name} />
      </button>
      {large && (
        <Dialog wide title={name || words.media} onClose={() => setLarge(false)}>
          <img className="large" src={source} alt={name} />
          <p>
            <a className="button" href={source} download={name || "output"}>
              {words.download}
            </a>
          </p>
        </Dialog>
      )}
    </>
  );
}
