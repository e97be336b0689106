import { useState, type FormEvent } from "react";
import { words } from "./words/words.js";

interface Props {
  /** Where one logs in with a browser; null: nowhere. */
  login: string | null;
  /** The key that was given is none of the server's. */
  refused: boolean;
  /** What one comes for takes the scope `admin`. */
  operator?: boolean;
  onKey: (key: string) => void;
}

/** Where the server asks who one is. */
export function SignIn({ login, refused, operator = false, onKey }: Props) {
  const back = encodeURIComponent(`${location.pathname}${location.hash}`);
  return (
    <main className="mx-auto grid min-h-dvh w-full max-w-sm content-center gap-6 p-6">
      <header className="grid justify-items-center gap-3 text-center">
        <img src="./icon.svg" alt="" width="48" height="48" />
        <h1 className="text-2xl font-semibold">{words.signIn}</h1>
        <p className="text-soft">{operator ? words.signInOperator : words.signInHint}</p>
      </header>
      {login && (
        <a className="button primary justify-center" href={`${login}?back=${back}`}>
          {words.signInWith}
        </a>
      )}
      <KeyForm refused={refused} autoFocus={!login} onKey={onKey} />
    </main>
  );
}

interface KeyFormProps {
  refused: boolean;
  autoFocus: boolean;
  onKey: (key: string) => void;
}

/** Where an API key is given. */
export function KeyForm({ refused, autoFocus, onKey }: KeyFormProps) {
  const [key, setKey] = useState("");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (key.trim()) onKey(key.trim());
  };
  return (
    <form className="grid gap-3" onSubmit={submit}>
      <label className="grid gap-1.5">
        <span className="text-sm font-medium">{words.apiKey}</span>
        <input
          className="field"
          type="password"
          name="key"
          autoComplete="current-password"
          value={key}
          autoFocus={autoFocus}
          aria-describedby="key-hint"
          onChange={(event) => setKey(event.target.value)}
        />
      </label>
      <p id="key-hint" className="text-sm text-soft">
        {words.apiKeyHint}
      </p>
      {refused && (
        <p role="alert" className="text-sm text-bad">
          {words.keyRefused}
        </p>
      )}
      <button type="submit" className="button primary justify-center" disabled={!key.trim()}>
        {words.useKey}
      </button>
    </form>
  );
}
