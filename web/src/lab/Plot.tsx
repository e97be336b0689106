import { useEffect, useRef, useSyncExternalStore } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { words } from "../words/words.js";
import { inkOf, type Drawing } from "./drawings.js";

interface Props {
  title: string;
  hint: string;
  drawing: Drawing;
  /** Pixels. */
  height: number;
  /** Say which line is whose. */
  legend?: boolean;
}

/** A drawing as wide as there is room for it. Its figures stand in a table as well. */
export function Plot({ title, hint, drawing, height, legend = false }: Props) {
  const place = useRef<HTMLDivElement>(null);
  const dark = useSyncExternalStore(subscribe, isDark);
  useEffect(() => {
    const element = place.current!;
    const options = { ...drawing.options(inkOf(element)), width: element.clientWidth, height };
    const plot = new uPlot(options, drawing.data, element);
    const follow = new ResizeObserver(() => {
      if (element.clientWidth) plot.setSize({ width: element.clientWidth, height });
    });
    follow.observe(element);
    return () => {
      follow.disconnect();
      plot.destroy();
    };
  }, [drawing, height, dark]);
  return (
    <figure className="lab-plot">
      <figcaption>
        <strong>{title}</strong> <span>{hint}</span>
      </figcaption>
      {legend && (
        <ul className="legend">
          {drawing.of.map((transport) => (
            <li key={transport} data-transport={transport}>
              <span className="lab-swatch" aria-hidden="true" /> {words.transports[transport]}
            </li>
          ))}
        </ul>
      )}
      <div ref={place} role="img" aria-label={`${title}. ${hint}`} style={{ height }} />
    </figure>
  );
}

const scheme = () => matchMedia("(prefers-color-scheme: dark)");
const isDark = () => scheme().matches;
const subscribe = (changed: () => void) => {
  const query = scheme();
  query.addEventListener("change", changed);
  return () => query.removeEventListener("change", changed);
};
