"""The event-stream format (Server-Sent Events), both ways.

Source: WHATWG HTML, section 9.2 "Server-sent events": 9.2.5 "Parsing an event stream" (grammar,
UTF-8 decode, one leading BOM) and 9.2.6 "Interpreting an event stream" (fields, dispatch).

Lines end at CR, LF or CRLF and at nothing else: U+2028, U+0085 and U+000B are data.
Everything works on bytes, because the JSON inside is decoded from bytes. That is safe: CR, LF,
colon, space and the field names are ASCII, and no byte of a longer UTF-8 sequence is.
"""

from __future__ import annotations

from typing import Final

import msgspec

from fairlead.errors import UpstreamProtocol

HEARTBEAT: Final = b": heartbeat\n"
"""A comment line that keeps a connection alive.

It has no blank line after it on purpose: ``@microsoft/fetch-event-source`` 2.0.1 hands a block
that holds nothing but a comment to its message handler, with empty data.
"""

DEFAULT_MAX_EVENT_BYTES: Final = 1 << 20

_BOM: Final = b"\xef\xbb\xbf"
# Longer runs of digits are ignored: no reconnection time needs them, and int() refuses huge ones.
_MAX_RETRY_DIGITS: Final = 15


class FrameTooLarge(UpstreamProtocol):
    """A line or an event of the stream exceeds the parser's limit."""

    retryable = False


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One dispatched event.

    data: the ``data`` lines joined by LF, always valid UTF-8 (invalid sequences in the input have
        become U+FFFD, as the format's decoder demands). May be empty.
    event: the event type; ``""`` when the block named none (a browser then says ``message``).
    id: the last event id as of this event: an id stays in force until another replaces it. ``None``
        when the stream has given none so far, ``""`` when an empty ``id:`` line took it back.
    """

    data: bytes
    event: str = ""
    id: str | None = None


class Parser:
    """An incremental parser: feed it bytes, split anywhere, and it returns the finished events.

    An event is finished by its blank line; one cut off by the end of the input is never returned.
    The result does not depend on how the input was split.

    max_event_bytes: the most bytes that one line (without its terminator) and the joined data of
        one event may have. Memory held between calls stays within a small multiple of it.
    """

    __slots__ = (
        "_data",
        "_error",
        "_event",
        "_head",
        "_id",
        "_limit",
        "_skip_lf",
        "_tail",
        "idle",
        "last_event_id",
        "retry",
    )

    def __init__(self, *, max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES) -> None:
        if max_event_bytes < 1:
            raise ValueError("max_event_bytes must be at least 1")
        self.retry: int | None = None
        """The reconnection time last asked for by a ``retry`` line, in milliseconds."""
        self.last_event_id: str | None = None
        """The id as of the last blank line; what a reconnecting client sends back."""
        self._limit = max_event_bytes
        self._error: FrameTooLarge | None = None
        self.idle = False
        """True when nothing is held back: no byte, line or field of an unfinished block."""
        # The first bytes, until it is known whether they are a BOM; None from then on.
        self._head: bytes | None = b""
        # The last line so far, without terminator. A bytearray grows in amortised constant time
        # and is not searched again, so that a line fed byte by byte costs linear time.
        self._tail = bytearray()
        # A CR ended the last input: an LF that comes next belongs to it.
        self._skip_lf = False
        self._data: bytes | bytearray | None = None
        self._event = b""
        self._id: str | None = None

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes of the stream; return the events they finish, in order.

        Raises FrameTooLarge for a line or event over the limit, and again on every later call.
        Events finished before the offending line are returned first: then the error is raised by
        the next call, for which ``b""`` will do.
        """
        # The common case: one whole block of a single data line and nothing held back.
        if (
            self.idle
            and data.startswith(b"data: ")
            and data.endswith(b"\n\n")
            and data.find(b"\n") == len(data) - 2
            and b"\r" not in data
            and len(data) - 2 <= self._limit
        ):
            value = data[6:-2]
            return [Frame(value if value.isascii() else _valid_utf8(value), "", self._id)]
        if self._error is not None:
            raise self._error
        if self._head is not None:
            data = self._strip_bom(data)
        if self._skip_lf and data:
            self._skip_lf = False
            if data.startswith(b"\n"):
                data = data[1:]
        if not data:
            return []
        return self._lines(data)

    def _strip_bom(self, data: bytes) -> bytes:
        """Hold the first bytes back until they are known to be a BOM or not."""
        head = (self._head or b"") + data
        if len(head) < len(_BOM) and _BOM.startswith(head):
            self._head = head
            return b""
        self._head = None
        return head.removeprefix(_BOM)

    def _lines(self, data: bytes) -> list[Frame]:
        if b"\r" in data:
            self._skip_lf = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = data.split(b"\n")
        if len(self._tail) + len(lines[0]) > self._limit:
            return self._too_large([], "a line")
        rest = lines.pop()
        if self._tail and lines:
            self._tail += lines[0]
            lines[0] = bytes(self._tail)
            self._tail = bytearray()

        frames: list[Frame] = []
        for line in lines:
            if not line:
                self._dispatch(frames)
            elif len(line) > self._limit:
                return self._too_large(frames, "a line")
            elif line.startswith(b"data:"):
                value = line[6:] if line.startswith(b" ", 5) else line[5:]
                if self._data is None:
                    self._data = value
                elif not self._add_data(value):
                    return self._too_large(frames, "an event")
            elif not line.startswith(b":") and not self._field(line):
                return self._too_large(frames, "an event")
        if len(rest) > self._limit:
            return self._too_large(frames, "a line")
        self._tail += rest
        self.idle = not (self._tail or self._skip_lf or self._event or self._data is not None) and (
            self._id == self.last_event_id
        )
        return frames

    def _dispatch(self, frames: list[Frame]) -> None:
        """End the block: 9.2.6, "dispatch the event"."""
        self.last_event_id = self._id
        if self._data is not None:
            value = bytes(self._data)
            frames.append(
                Frame(
                    value if value.isascii() else _valid_utf8(value),
                    self._event.decode("utf-8", "replace"),
                    self._id,
                )
            )
            self._data = None
        self._event = b""

    def _field(self, line: bytes) -> bool:
        """Process a line that does not begin with ``data:``; False if the event grew too large."""
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match name:
            case b"data":
                return self._add_data(value)
            case b"event":
                self._event = value
            case b"id":
                if b"\0" not in value:
                    self._id = value.decode("utf-8", "replace")
            case b"retry":
                # bytes.isdigit() knows ASCII digits only and is False for an empty value.
                if value.isdigit() and len(value) <= _MAX_RETRY_DIGITS:
                    self.retry = int(value)
            case _:
                pass  # "Otherwise: the field is ignored."
        return True

    def _add_data(self, value: bytes) -> bool:
        """Append one more data line; False if the event grew too large."""
        data = self._data
        if data is None:
            self._data = value
            return True
        if len(data) + 1 + len(value) > self._limit:
            return False
        if isinstance(data, bytes):
            self._data = data = bytearray(data)
        data += b"\n"
        data += value
        return True

    def _too_large(self, frames: list[Frame], what: str) -> list[Frame]:
        self._error = FrameTooLarge(
            f"{what} of the event stream exceeds the limit of {self._limit} bytes",
            limit=self._limit,
        )
        self.idle = False
        self._tail = bytearray()
        self._data = None
        if not frames:
            raise self._error
        return frames


def encode(
    data: bytes,
    *,
    event: bytes | None = None,
    id: bytes | None = None,
    retry: int | None = None,
) -> bytes:
    """One event as a block of lines, blank line included.

    data: UTF-8. A CR, LF or CRLF in it starts another ``data`` line; the reader sees LF.
    event, id: UTF-8, written when not None.
    retry: reconnection time in milliseconds.

    Raises ValueError if ``event`` or ``id`` holds CR, LF or NUL (a reader would see other fields,
    or ignore the id), and if ``retry`` is negative.
    """
    if b"\n" in data or b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\ndata: ")
    block = b"data: " + data + b"\n\n"
    if retry is not None:
        if retry < 0:
            raise ValueError("retry must not be negative")
        block = b"retry: %d\n%b" % (retry, block)
    if id is not None:
        block = b"id: %b\n%b" % (_one_line("id", id), block)
    if event is not None:
        block = b"event: %b\n%b" % (_one_line("event", event), block)
    return block


def _one_line(name: str, value: bytes) -> bytes:
    if b"\n" in value or b"\r" in value or b"\0" in value:
        raise ValueError(f"{name} must not contain CR, LF or NUL")
    return value


def _valid_utf8(value: bytes) -> bytes:
    """The value itself if it is valid UTF-8, else a copy with U+FFFD for what is not."""
    try:
        value.decode()
    except UnicodeDecodeError:
        return value.decode("utf-8", "replace").encode()
    return value
