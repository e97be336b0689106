import uPlot from "uplot";
import { language, words } from "../words/words.js";
import { gaps, spread, type Measured } from "./figures.js";
import type { Compared } from "./track.js";

/** Colours and font, as the style sheet has them where it is drawn. */
export interface Ink {
  readonly text: string;
  readonly soft: string;
  readonly line: string;
  readonly font: string;
  readonly of: Record<Compared, string>;
}

/** What is drawn, and how. */
export interface Drawing {
  /** Whose lines or bars it has. */
  readonly of: readonly Compared[];
  readonly options: (ink: Ink) => Omit<uPlot.Options, "width" | "height">;
  readonly data: uPlot.AlignedData;
}

export function inkOf(element: Element): Ink {
  const style = getComputedStyle(element);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  return {
    ...{ text: colour("--ink"), soft: colour("--soft"), line: colour("--line") },
    font: style.fontFamily,
    of: {
      sse: colour("--line-sse"),
      websocket: colour("--line-websocket"),
      poll: colour("--line-poll"),
      ndjson: colour("--line-ndjson"),
      connect: colour("--line-connect"),
    },
  };
}

/** Who cannot tell the colours apart tells the lines apart. */
const DASH: Record<Compared, number[]> = {
  sse: [],
  websocket: [7, 3],
  poll: [2, 3],
  ndjson: [12, 4],
  connect: [10, 3, 2, 3],
};

/** Less (ms) cannot be shown where each step is ten times the one before. */
const LEAST = 0.1;

const number = (value: number) => value.toLocaleString(language, { maximumSignificantDigits: 3 });

/** How much text had come, by the seconds since the lines were opened. Cuts are marked. */
export function overTime(all: readonly Measured[]): Drawing {
  const tables = all.map(({ arrivals }): uPlot.AlignedData => {
    let total = 0;
    const x: number[] = [0];
    const y: number[] = [0];
    for (const { at, characters } of arrivals) {
      total += characters;
      if (x.at(-1) === at / 1000) y[y.length - 1] = total;
      else {
        x.push(at / 1000);
        y.push(total);
      }
    }
    return [x, y];
  });
  return {
    of: all.map(({ transport }) => transport),
    data: uPlot.join(tables),
    options: (ink) => ({
      ...FRAME,
      scales: { x: { time: false }, y: { range: (_, __, most) => [0, Math.max(1, most)] } },
      axes: [below(ink), { ...axis(ink), size: 52 }],
      series: [{}, ...all.map(({ transport }) => lines(ink, transport))],
      hooks: { draw: [(plot) => marks(plot, ink, all)] },
    }),
  };
}

/** How the times between two arrivals are spread, each step of the axis ten times the one before. */
export function spreads(all: readonly Measured[]): Drawing {
  const tables = all.map(({ arrivals }): uPlot.AlignedData => {
    const [x, y] = spread(gaps(arrivals).map((gap) => Math.max(LEAST, gap)));
    return x.length ? [x, y] : [[1], [null]];
  });
  return {
    of: all.map(({ transport }) => transport),
    data: uPlot.join(tables),
    options: (ink) => ({
      ...FRAME,
      scales: { x: { time: false, distr: 3 }, y: { range: [0, 100] } },
      axes: [
        {
          ...below(ink),
          filter: tenfolds,
          grid: { ...axis(ink).grid, filter: tenfolds },
          values: (_, splits) => splits.map((at) => (at === null ? null : number(at))),
        },
        { ...axis(ink), values: (_, splits) => splits.map((at) => `${at}%`), size: 52 },
      ],
      series: [{}, ...all.map(({ transport }) => lines(ink, transport))],
    }),
  };
}

/** Of the marks of such an axis those that are ten times the one before. */
const tenfolds: uPlot.Axis.Filter = (_, splits) =>
  splits.map((at) => (Math.abs(Math.log10(at) - Math.round(Math.log10(at))) < 1e-6 ? at : null));

/** One figure of each transport as a bar, with the figure above it. */
export function bars(
  values: readonly (readonly [Compared, number | null])[],
  said: (value: number) => string = number,
): Drawing {
  const places = values.map((_, index) => index);
  return {
    of: values.map(([transport]) => transport),
    data: [
      places,
      ...values.map(([, value], own) => places.map((at) => (at === own ? value : null))),
    ] as uPlot.AlignedData,
    options: (ink) => ({
      ...FRAME,
      padding: [20, 0, 0, 0],
      scales: {
        x: { time: false, range: [-0.5, values.length - 0.5] },
        y: { range: (_, __, most) => [0, most > 0 ? most : 1] },
      },
      axes: [
        {
          ...below(ink),
          size: 38,
          grid: { show: false },
          splits: places,
          values: (_, splits) => splits.map((at) => inLines(words.transports[values[at]![0]])),
        },
        { show: false },
      ],
      series: [
        {},
        ...values.map(([transport]) => ({
          stroke: ink.of[transport],
          fill: ink.of[transport],
          width: 0,
          points: { show: false },
          paths: uPlot.paths.bars!({ size: [0.6, 72], radius: 0.08 }),
        })),
      ],
      hooks: { draw: [(plot) => figuresAbove(plot, ink, values, said)] },
    }),
  };
}

/** A name under a narrow bar: each of its words on a line of its own. */
const inLines = (name: string) => name.replace(/ |(?<=[a-z])(?=[A-Z])/g, "\n");

const FRAME = {
  legend: { show: false },
  cursor: { show: false },
  padding: [10, 24, 0, 0],
} satisfies Partial<uPlot.Options>;

function axis(ink: Ink): uPlot.Axis {
  return {
    stroke: ink.soft,
    font: `11px ${ink.font}`,
    grid: { stroke: ink.line, width: 1 },
    ticks: { show: false },
    gap: 4,
  };
}

const below = (ink: Ink): uPlot.Axis => ({ ...axis(ink), size: 26 });

function lines(ink: Ink, transport: Compared): uPlot.Series {
  return {
    stroke: ink.of[transport],
    width: 2,
    dash: DASH[transport],
    spanGaps: true,
    points: { show: false },
    paths: uPlot.paths.stepped!({ align: 1 }),
  };
}

/** When lines were cut. */
function marks(plot: uPlot, ink: Ink, all: readonly Measured[]): void {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.strokeStyle = ink.soft;
  ctx.setLineDash([3, 3]);
  for (const at of new Set(all.flatMap(({ cuts }) => cuts.map((cut) => cut.at)))) {
    const x = Math.round(plot.valToPos(at / 1000, "x", true));
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
  }
  ctx.restore();
}

function figuresAbove(
  plot: uPlot,
  ink: Ink,
  values: readonly (readonly [Compared, number | null])[],
  said: (value: number) => string,
): void {
  const { ctx } = plot;
  ctx.save();
  ctx.fillStyle = ink.text;
  ctx.font = `${Math.round(12 * devicePixelRatio)}px ${ink.font}`;
  ctx.textAlign = "center";
  ctx.textBaseline = "bottom";
  for (const [at, [, value]] of values.entries()) {
    const y = plot.valToPos(value ?? 0, "y", true) - 3 * devicePixelRatio;
    ctx.fillText(value === null ? "–" : said(value), plot.valToPos(at, "x", true), y);
  }
  ctx.restore();
}
