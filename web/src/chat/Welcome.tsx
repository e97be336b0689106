import type { Info } from "@fairlead/client";
import { CopyButton } from "../ui/CopyButton.js";
import { words } from "../words/words.js";

/** The lines that connect a model; the key stands in the environment, where no list shows it. */
const LINES = [
  [
    "DeepSeek",
    "FAIRLEAD_UPSTREAM_KEY=sk-… fairlead serve --upstream https://api.deepseek.com/v1 --model deepseek-chat",
  ],
  [
    "OpenAI",
    "FAIRLEAD_UPSTREAM_KEY=sk-… fairlead serve --upstream https://api.openai.com/v1 --model gpt-5-mini",
  ],
  ["Ollama", "fairlead serve --upstream http://127.0.0.1:11434/v1 --model llama3.2"],
] as const;

/** A conversation that has not begun. */
export function Welcome({ info, onAsk }: { info: Info; onAsk: (text: string) => void }) {
  return (
    <main className="welcome">
      <h2 className="text-balance text-3xl font-semibold tracking-tight">{words.welcome}</h2>
      <p className="max-w-lg text-pretty text-soft">{words.welcomeHint}</p>
      {info.notice && (
        <section className="notice" aria-labelledby="no-model">
          <h3 id="no-model" className="font-semibold">
            {words.noModel}
          </h3>
          <p className="text-soft">{words.noModelHint}</p>
          <dl>
            {LINES.map(([name, line]) => (
              <div key={name}>
                <dt>{name}</dt>
                <dd>
                  <code tabIndex={0}>{line}</code>
                  <CopyButton text={line} label={words.copy} />
                </dd>
              </div>
            ))}
          </dl>
        </section>
      )}
      {info.notice && info.knowledge && (
        <ul className="suggestions">
          {words.suggestions.map((text) => (
            <li key={text}>
              <button type="button" onClick={() => onAsk(text)}>
                {text}
              </button>
            </li>
          ))}
        </ul>
      )}
    </main>
  );
}
