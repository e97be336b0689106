/** What this browser keeps of a conversation: what was typed, and how the model is to answer. */

export interface Settings {
  model: string;
  system: string;
  /** null: as the model has it. */
  temperature: number | null;
  maxTokens: number | null;
}

export const USUAL: Settings = { model: "", system: "", temperature: null, maxTokens: null };

const place = (what: string, conversation: string) => `fairlead.${what}.${conversation || "new"}`;

export function draft(conversation: string): string {
  return localStorage.getItem(place("draft", conversation)) ?? "";
}

/** Keep what is being typed, so that no reload loses it. */
export function keepDraft(conversation: string, text: string): void {
  const key = place("draft", conversation);
  if (text) localStorage.setItem(key, text);
  else localStorage.removeItem(key);
}

export function settings(conversation: string): Settings {
  try {
    const kept = JSON.parse(
      localStorage.getItem(place("settings", conversation)) ?? "{}",
    ) as object;
    return { ...USUAL, ...kept };
  } catch {
    return USUAL;
  }
}

export function keepSettings(conversation: string, settings: Settings): void {
  localStorage.setItem(place("settings", conversation), JSON.stringify(settings));
}

/** A new conversation has got its id: what was kept of it goes along. */
export function settle(conversation: string): void {
  keepSettings(conversation, settings(""));
  localStorage.removeItem(place("settings", ""));
}

export function forget(conversation: string): void {
  localStorage.removeItem(place("draft", conversation));
  localStorage.removeItem(place("settings", conversation));
}

const WHO = "fairlead.who";
/** What is somebody's own; the choice of a transport is not, nor is the key, which is who one is. */
const OWN = /^fairlead\.(?:draft\.|settings\.|away$|stops$)/;

/**
 * Whose what is kept here is; "": nobody signed in. Of somebody else nothing stays, and what was
 * typed before anybody had to sign in goes along. Whether it all stays.
 */
export function belongTo(consumer: string): boolean {
  const before = localStorage.getItem(WHO);
  const same = !before || before === consumer;
  if (!same) forgetAll();
  localStorage.setItem(WHO, consumer);
  return same;
}

/** Forget all that is somebody's own. */
export function forgetAll(): void {
  for (const key of Object.keys(localStorage)) if (OWN.test(key)) localStorage.removeItem(key);
  localStorage.removeItem(WHO);
}

const STOPS = "fairlead.stops";

/** Streams that somebody stopped here, as far as their end was not seen yet. */
export function stops(): readonly string[] {
  try {
    return JSON.parse(localStorage.getItem(STOPS) ?? "[]") as string[];
  } catch {
    return [];
  }
}

/** Remember that a stream is to be stopped. */
export function keepStop(stream: string): void {
  localStorage.setItem(STOPS, JSON.stringify([...new Set([...stops(), stream])]));
}

/** It has ended. */
export function forgetStop(stream: string): void {
  const left = stops().filter((one) => one !== stream);
  if (left.length) localStorage.setItem(STOPS, JSON.stringify(left));
  else localStorage.removeItem(STOPS);
}

/** A question's options. Pure. */
export function options({ model, system, temperature, maxTokens }: Settings) {
  const parameters = {
    ...(temperature !== null && { temperature }),
    ...(maxTokens !== null && { max_tokens: maxTokens }),
  };
  return {
    ...(model && { model }),
    ...(system.trim() && { system }),
    ...(Object.keys(parameters).length && { parameters }),
  };
}
