"""Events to records and back. A record is one JSON object in UTF-8, its ``kind`` first; that of
another application's event is the event's lines in event-stream format (WHATWG HTML, 9.2.5)."""

from __future__ import annotations

import msgspec

from fairlead.errors import StoreCorrupt
from fairlead.events.model import Event, Relayed, Unknown

#: The content type of a generation stream, fixed at its creation.
CONTENT_TYPE = "application/vnd.fairlead.events+json"
#: That of a stream whose events are another application's.
RELAYED_TYPE = "text/event-stream"

_FIELDS = (b"id: ", b"event: ", b"retry: ", b"data: ")

#: How a token's record begins; its time follows, which has as many digits until the year 2286.
_TOKEN = b'{"kind":"token","at":'
_TEXT = b',"text":'
_TEXT_AT = len(_TOKEN) + 13
_SAID_AT = _TEXT_AT + len(_TEXT)


class _Kind(msgspec.Struct):
    kind: str


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_kind = msgspec.json.Decoder(_Kind)
_KNOWN = frozenset(member.__struct_config__.tag for member in Event.__args__)


def encode(event: Event) -> bytes:
    """The record of an event."""
    if type(event) is Relayed:
        return _lines(event)
    return _encoder.encode(event)


def decode(record: bytes) -> Event | Unknown:
    """The event of a record; :class:`Unknown` for a kind that a later version wrote.

    Raises :class:`~fairlead.errors.StoreCorrupt` when the record holds no event at all.
    """
    try:
        return _decoder.decode(record)
    except msgspec.MsgspecError as error:
        if record.startswith(_FIELDS):
            return _of_lines(record)
        try:
            kind = _kind.decode(record).kind
        except msgspec.MsgspecError:
            kind = ""
        if not kind or kind in _KNOWN:
            raise StoreCorrupt(f"a record does not hold an event: {error}") from error
        return Unknown(kind, record)


def said(record: bytes) -> bytes:
    """The text of a token of the main part as its record has it: a JSON string in UTF-8, as
    :func:`encode` would write it anywhere else. Empty for any other event, and for a token that has
    more than its time and its text: :func:`decode` tells what it is."""
    # Only the text ends so: a part is a number, and what rides along is an object.
    if record.startswith(_TOKEN) and record.endswith(b'"}') and record[_TEXT_AT:_SAID_AT] == _TEXT:
        return record[_SAID_AT:-1]
    return b""


def _lines(event: Relayed) -> bytes:
    lines = [
        f"{name}: {value}".encode()
        for name, value in (("id", event.id), ("event", event.event), ("retry", event.retry))
        if value not in ("", None)
    ]
    lines += [b"data: " + line for line in event.data.split(b"\n")]
    return b"\n".join(lines)


def _of_lines(record: bytes) -> Relayed:
    """What :func:`_lines` wrote."""
    fields: dict[bytes, str] = {}
    data: list[bytes] = []
    for line in record.split(b"\n"):
        name, _, value = line.partition(b": ")
        if name == b"data":
            data.append(value)
        else:
            fields[name] = value.decode()
    return Relayed(
        at=0,
        data=b"\n".join(data),
        event=fields.get(b"event", ""),
        id=fields.get(b"id", ""),
        retry=int(fields[b"retry"]) if b"retry" in fields else None,
    )
