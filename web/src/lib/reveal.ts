import { useEffect, useRef, useState } from "react";

/** How much of what waits is shown with the next frame: the eye sees a flow, and no lag grows. */
const SHARE = 1 / 5;

let motion: MediaQueryList | undefined;

/** Whether the person has asked for less motion. */
const reduced = () => (motion ??= matchMedia("(prefers-reduced-motion: reduce)")).matches;

/**
 * How far a text is shown, frame by frame: it flows in at the pace at which it comes, however
 * unevenly that is. What is there at first is shown at once, and so is the rest at the end.
 */
export function useReveal(text: string, running: boolean): string {
  const [shown, setShown] = useState(text.length);
  const now = useRef({ text, shown: text.length });
  now.current.text = text;
  useEffect(() => {
    if (!running) return;
    if (reduced()) return;
    let frame = 0;
    const step = () => {
      frame = requestAnimationFrame(step);
      const { text, shown } = now.current;
      if (shown === text.length) return;
      const next = nextLength(text, Math.min(shown, text.length));
      now.current.shown = next;
      setShown(next);
    };
    frame = requestAnimationFrame(step);
    return () => cancelAnimationFrame(frame);
  }, [running]);
  const still = !running || document.hidden || reduced();
  if (still) now.current.shown = text.length;
  return still ? text : text.slice(0, shown);
}

/** How much of a text to show after `shown` of it. Never half a character. Pure. */
export function nextLength(text: string, shown: number): number {
  const waiting = text.length - shown;
  let next = shown + Math.min(waiting, Math.max(1, Math.ceil(waiting * SHARE)));
  const unit = text.charCodeAt(next - 1);
  if ((unit & 0xfc00) === 0xd800 && next < text.length) next += 1;
  return next;
}
