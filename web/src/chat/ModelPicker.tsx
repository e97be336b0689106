import { FairleadError, type Models } from "@fairlead/client";
import { useEffect, useState } from "react";
import { useSession } from "../lib/session.js";
import { words } from "../words/words.js";

interface Props {
  /** Empty: the server's default. */
  model: string;
  onModel: (model: string) => void;
}

/** Which model answers, of those that the server offers. */
export function ModelPicker({ model, onModel }: Props) {
  const { server } = useSession();
  const [models, setModels] = useState<Models | null>(null);
  useEffect(() => {
    let left = false;
    server
      .models()
      .then((found) => !left && setModels(found))
      .catch((problem: unknown) => {
        if (!(problem instanceof FairleadError)) throw problem; // the default answers all the same
      });
    return () => {
      left = true;
    };
  }, [server]);
  const names = models ? [...models.models, ...models.aliases].map(({ name }) => name) : [];
  const choices = [...new Set([...names, ...(model ? [model] : [])])];
  return (
    <span className="select model-picker">
      <select
        value={model}
        title={words.model}
        aria-label={words.model}
        onChange={(event) => onModel(event.target.value)}
      >
        <option value="">{models?.default ?? words.modelDefault}</option>
        {choices
          .filter((name) => name !== models?.default || name === model)
          .map((name) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
      </select>
    </span>
  );
}
