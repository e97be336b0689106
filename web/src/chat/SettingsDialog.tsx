import type { Settings } from "../lib/kept.js";
import { Dialog } from "../ui/Dialog.js";
import { words } from "../words/words.js";

interface Props {
  settings: Settings;
  onSettings: (settings: Settings) => void;
  onClose: () => void;
}

/** How the model is to answer in this conversation. */
export function SettingsDialog({ settings, onSettings, onClose }: Props) {
  const number = (text: string) => (text.trim() === "" ? null : Number(text));
  return (
    <Dialog title={words.settings} onClose={onClose}>
      <label className="grid gap-1.5">
        <span className="text-sm font-medium">{words.system}</span>
        <textarea
          className="field min-h-28"
          name="system"
          dir="auto"
          value={settings.system}
          placeholder={words.systemHint}
          onChange={(event) => onSettings({ ...settings, system: event.target.value })}
        />
      </label>
      <div className="grid grid-cols-2 items-end gap-3">
        <label className="grid gap-1.5">
          <span className="text-sm font-medium">{words.temperature}</span>
          <input
            className="field"
            name="temperature"
            type="number"
            min={0}
            max={2}
            step={0.1}
            value={settings.temperature ?? ""}
            placeholder={words.unset}
            onChange={(event) =>
              onSettings({ ...settings, temperature: number(event.target.value) })
            }
          />
        </label>
        <label className="grid gap-1.5">
          <span className="text-sm font-medium">{words.maxTokens}</span>
          <input
            className="field"
            name="max-tokens"
            type="number"
            min={1}
            step={1}
            value={settings.maxTokens ?? ""}
            placeholder={words.unset}
            onChange={(event) => onSettings({ ...settings, maxTokens: number(event.target.value) })}
          />
        </label>
      </div>
    </Dialog>
  );
}
