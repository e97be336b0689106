import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { count, day } from "./numbers.js";
import { said } from "./words.js";

interface Props {
  days: readonly string[];
  input: readonly number[];
  output: readonly number[];
  /** What it shows, for those who do not see it. */
  label: string;
}

const HEIGHT = 190;
const DARK = "(prefers-color-scheme: dark)";

/** Tokens a day: those of the answers stand on those of the questions. */
export function Bars({ days, input, output, label }: Props) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const both = input.map((tokens, at) => tokens + output[at]!);
  const data: uPlot.AlignedData = [
    days.map((day) => Date.parse(day) / 1000),
    both,
    [...input],
    [...output],
  ];
  const now = useRef(data);
  now.current = data;

  useEffect(() => {
    const element = place.current!;
    const make = () => {
      plot.current?.destroy();
      plot.current = new uPlot(options(element), now.current, element);
    };
    make();
    // What is drawn has the colours of its time.
    const scheme = matchMedia(DARK);
    scheme.addEventListener("change", make);
    const resized = new ResizeObserver(() =>
      plot.current?.setSize({ width: element.clientWidth, height: HEIGHT }),
    );
    resized.observe(element);
    return () => {
      scheme.removeEventListener("change", make);
      resized.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, []);
  const key = JSON.stringify(data);
  useEffect(() => {
    plot.current?.setData(now.current);
  }, [key]);

  return (
    <figure className="bars-figure">
      <div ref={place} className="plot" role="img" aria-label={label} />
      <figcaption aria-hidden="true">
        <span className="swatch" data-what="input" /> {said.input}
        <span className="swatch" data-what="output" /> {said.output}
      </figcaption>
    </figure>
  );
}

function options(element: HTMLElement): uPlot.Options {
  const style = getComputedStyle(element);
  const color = (name: string) => style.getPropertyValue(name).trim();
  const line = { stroke: color("--line"), width: 1 };
  const axis = { stroke: color("--soft"), grid: line, ticks: line, font: "12px system-ui" };
  const bars = uPlot.paths.bars!({ size: [0.7, 42], radius: 0.15 });
  return {
    width: element.clientWidth,
    height: HEIGHT,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    legend: { show: false },
    cursor: { show: false },
    scales: {
      // Room for the first and the last bar.
      x: { time: true, range: (_, low, high) => [low - 43_200, high + 43_200] },
      y: { range: (_, low, high) => [Math.min(0, low), Math.max(high * 1.05, 10)] },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        values: (_, ticks) => ticks.map(day),
        incrs: [86_400, 2 * 86_400, 7 * 86_400, 14 * 86_400, 28 * 86_400],
      },
      { ...axis, size: 56, values: (_, ticks) => ticks.map((tick) => count(tick)) },
    ],
    series: [
      {},
      {
        fill: color("--output"),
        stroke: color("--output"),
        width: 0,
        paths: bars,
        points: { show: false },
      },
      {
        fill: color("--input"),
        stroke: color("--input"),
        width: 0,
        paths: bars,
        points: { show: false },
      },
      { show: false },
    ],
  };
}
