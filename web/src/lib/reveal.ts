import { useEffect, useRef, useState } from "react";

/** How much of what waits is shown with the next frame: the eye sees a flow, and no lag grows. */
const SHARE = 1 / 5;
/** Milliseconds of a frame that nothing holds up. */
const FRAME = 17;
/** For so many times as long as showing more held the page up, no more is shown. */
const REST = 3;

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
    let before = performance.now();
    let last = before;
    let rested = 0;
    let worked = false;
    const step = (time: number) => {
      frame = requestAnimationFrame(step);
      const took = time - before;
      before = time;
      // A table of a thousand rows takes a while to be made anew: the page is there for others, too.
      if (worked) rested = time + REST * Math.max(0, took - FRAME);
      worked = false;
      if (time < rested) return;
      const { text, shown } = now.current;
      const frames = (time - last) / FRAME;
      last = time;
      if (shown === text.length) return;
      const next = nextLength(text, Math.min(shown, text.length), frames);
      now.current.shown = next;
      worked = true;
      setShown(next);
    };
    frame = requestAnimationFrame(step);
    return () => cancelAnimationFrame(frame);
  }, [running]);
  const still = !running || document.hidden || reduced();
  if (still) now.current.shown = text.length;
  return still ? text : text.slice(0, shown);
}

/** How much of a text to show so many frames after `shown` of it. Never half a character. Pure. */
export function nextLength(text: string, shown: number, frames = 1): number {
  const waiting = text.length - shown;
  const share = 1 - (1 - SHARE) ** Math.max(0, frames);
  let next = shown + Math.min(waiting, Math.max(1, Math.ceil(waiting * share)));
  const unit = text.charCodeAt(next - 1);
  if ((unit & 0xfc00) === 0xd800 && next < text.length) next += 1;
  return next;
}
