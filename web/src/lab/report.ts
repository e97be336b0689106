import type { Figures, Measured } from "./figures.js";

/** What a run found, to be kept. */
export interface Report {
  readonly what: string;
  readonly when: string;
  readonly browser: string;
  readonly server: { readonly version: string; readonly protocol: string; readonly model: string };
  /** What the browser spoke: `http/1.1`, `h2`. */
  readonly http: string;
  readonly question: string;
  /** Of a plain request (ms), each time. */
  readonly plain: readonly number[];
  readonly lines: readonly (Measured & {
    readonly figures: Figures;
    /** Whether the text was the server's, with nothing lost and nothing repeated. */
    readonly exact: boolean | null;
  })[];
}

const round = (_: string, value: unknown) =>
  typeof value === "number" ? Math.round(value * 1000) / 1000 : value;

/** Times are in milliseconds, sizes in bytes. Pure. */
export const toJson = (report: Report) => `${JSON.stringify(report, round, 1)}\n`;

const HEAD = "transport,event,at_ms,gap_ms,characters,position";

/** A row for each arrival of text, and for each cut and its healing. Pure. */
export function toCsv({ lines }: Pick<Report, "lines">): string {
  const rows = lines.flatMap(({ transport, arrivals, cuts }) => {
    const texts = arrivals.map(({ at, characters, position }, index) => {
      const before = arrivals[index - 1]?.at;
      const gap = before === undefined ? "" : (at - before).toFixed(3);
      return { at, row: [transport, "text", at.toFixed(3), gap, characters, position] };
    });
    const breaks = cuts.flatMap(({ at, healed }) => [
      { at, row: [transport, "cut", at.toFixed(3), "", "", ""] },
      ...(healed === null
        ? []
        : [{ at: healed, row: [transport, "healed", healed.toFixed(3), "", "", ""] }]),
    ]);
    return [...texts, ...breaks].sort((a, b) => a.at - b.at).map(({ row }) => row.join(","));
  });
  return [HEAD, ...rows, ""].join("\r\n");
}
