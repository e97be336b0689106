// Requests to the server that served this page, wherever its base path is.

const BASE = new URL("./", import.meta.url);
const KEY = "fairlead.key";

/** An answer that states an error, or no answer at all (`code` is then "offline"). */
export class Problem extends Error {
  constructor({ error, code, retryable = false, retry_after = null }, status = 0) {
    super(error);
    // Either way the page asks for a key.
    this.code = code === "revoked" ? "unauthenticated" : code;
    this.retryable = retryable;
    this.retryAfter = retry_after;
    this.status = status;
  }
}

/** Keep the key for this tab; an empty one forgets it. */
export function useKey(key) {
  if (key) sessionStorage.setItem(KEY, key);
  else sessionStorage.removeItem(KEY);
}

/** Whether a key is in use. */
export function hasKey() {
  return sessionStorage.getItem(KEY) !== null;
}

/** A response with a good status. Throws Problem; an aborted request throws its AbortError. */
export async function request(path, { headers = {}, ...options } = {}) {
  const key = sessionStorage.getItem(KEY);
  let response;
  try {
    response = await fetch(new URL(path, BASE), {
      cache: "no-store",
      ...options,
      headers: key ? { ...headers, Authorization: `Bearer ${key}` } : headers,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ error: String(error.message), code: "offline", retryable: true });
  }
  if (!response.ok) throw await stated(response);
  return response;
}

/** The JSON of a path; null for an answer without a body. */
export async function json(path, options = {}) {
  const response = await request(path, {
    ...options,
    headers: { Accept: "application/json", ...options.headers },
  });
  if (response.status === 204) return null;
  try {
    return await response.json();
  } catch (error) {
    throw new Problem({ error: String(error.message), code: "offline", retryable: true });
  }
}

async function stated(response) {
  const { status } = response;
  let body = null;
  try {
    body = await response.json();
  } catch {
    // A proxy's page: its status has to do.
  }
  if (typeof body?.error === "string" && typeof body.code === "string") {
    return new Problem(body, status);
  }
  const code = status === 401 ? "unauthenticated" : status === 413 ? "too_large" : "proxy";
  const retryable = status >= 500 || status === 408 || status === 425 || status === 429;
  const wait = Number(response.headers.get("Retry-After"));
  return new Problem(
    { error: `HTTP ${status}`, code, retryable, retry_after: wait > 0 ? wait : null },
    status,
  );
}

/** A random id. `crypto.randomUUID` exists only where the page came over HTTPS or localhost. */
export function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
