import { Dialog } from "../ui/Dialog.js";
import { words } from "../words/words.js";

const COMMAND = /Mac|iP(hone|ad)/.test(navigator.platform) ? "⌘" : "Ctrl";

/** What can be done by keyboard. */
const KEYS: readonly [readonly string[], string][] = [
  [["Enter"], words.keySend],
  [["Shift", "Enter"], words.keyLine],
  [["Esc"], words.keyEscape],
  [[COMMAND, "K"], words.searchConversations],
  [[COMMAND, "Shift", "O"], words.newConversation],
  [[COMMAND, "/"], words.shortcuts],
];

/** The keys, to be looked up. */
export function Shortcuts({ onClose }: { onClose: () => void }) {
  return (
    <Dialog title={words.shortcuts} onClose={onClose}>
      <dl className="shortcuts">
        {KEYS.map(([keys, what]) => (
          <div key={what}>
            <dt>
              {keys.map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
