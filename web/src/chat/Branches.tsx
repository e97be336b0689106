import { IconButton } from "../ui/IconButton.js";
import { words } from "../words/words.js";

interface Props {
  id: string;
  siblings: readonly string[];
  disabled: boolean;
  onChoose: (id: string) => void;
}

/** The switch between the versions of a message. */
export function Branches({ id, siblings, disabled, onChoose }: Props) {
  const at = siblings.indexOf(id);
  if (siblings.length < 2 || at < 0) return null;
  const before = siblings[at - 1];
  const after = siblings[at + 1];
  const label = words.version(at + 1, siblings.length);
  return (
    <span className="branches" role="group" aria-label={label}>
      <IconButton
        icon="left"
        size={15}
        label={words.previous}
        disabled={disabled || !before}
        onClick={() => before && onChoose(before)}
      />
      <span aria-hidden="true">
        {at + 1}/{siblings.length}
      </span>
      <IconButton
        icon="right"
        size={15}
        label={words.next}
        disabled={disabled || !after}
        onClick={() => after && onChoose(after)}
      />
    </span>
  );
}
