/** A picture or a text that goes along with a question. */
export interface Attachment {
  /** Its media type, such as `image/png`. */
  type: string;
  data: Uint8Array;
  /** Its file's name. */
  name?: string;
}

/** How many bytes are made into text at once: a call takes only so many arguments. */
const PIECE = 0x8000;

/** The attachment as JSON has it (PROTOCOL.md, section 4). */
export function inJson({ type, data, name }: Attachment): object {
  let bytes = "";
  for (let at = 0; at < data.length; at += PIECE) {
    bytes += String.fromCharCode(...data.subarray(at, at + PIECE));
  }
  return { type, data: btoa(bytes), ...(name && { name }) };
}

/** The attachment as a WebSocket's binary frame: a line, and the bytes (section 9). */
export function inFrame({ type, data, name }: Attachment, id: string): Uint8Array<ArrayBuffer> {
  const about = { content_type: type, ...(name && { name }) };
  const head = new TextEncoder().encode(
    `${JSON.stringify({ type: "attachment", id, data: about })}\n`,
  );
  const frame = new Uint8Array(head.length + data.length);
  frame.set(head);
  frame.set(data, head.length);
  return frame;
}
