import type { Line } from "../wire/line.js";

/** Counts what comes over a line, as the page gets it: decompressed, without headers. */
export class Tally {
  /** Bytes of bodies, and of WebSocket messages with their frames. */
  bytes = 0;
  /** Requests that were made, and sockets that were opened. */
  requests = 0;

  readonly fetch: typeof globalThis.fetch;
  readonly WebSocket: typeof WebSocket;

  constructor(line: Line) {
    this.fetch = async (input, init) => {
      this.requests += 1;
      const response = await line.fetch(input, init);
      if (!response.body) return response;
      const count = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
        transform: (chunk, controller) => {
          this.bytes += chunk.byteLength;
          controller.enqueue(chunk);
        },
      });
      const { status, statusText, headers } = response;
      return new Response(response.body.pipeThrough(count), { status, statusText, headers });
    };
    const opened = () => (this.requests += 1);
    const came = ({ data }: MessageEvent<unknown>) => (this.bytes += framed(sizeOf(data)));
    this.WebSocket = class extends line.WebSocket {
      constructor(url: string | URL, protocols?: string | string[]) {
        super(url, protocols);
        opened();
        this.addEventListener("message", came);
      }
    };
  }
}

function sizeOf(data: unknown): number {
  return data instanceof ArrayBuffer
    ? data.byteLength
    : new TextEncoder().encode(String(data)).length;
}

/** With the head of the frame that a server sends it in (RFC 6455, section 5.2). Pure. */
export function framed(size: number): number {
  return size + (size < 126 ? 2 : size < 65_536 ? 4 : 10);
}
