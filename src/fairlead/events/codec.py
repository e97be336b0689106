"""Events to records and back. A record is one JSON object in UTF-8, its ``kind`` first."""

from __future__ import annotations

import msgspec

from fairlead.errors import StoreCorrupt
from fairlead.events.model import Event, Unknown

#: The content type of a generation stream, fixed at its creation.
CONTENT_TYPE = "application/vnd.fairlead.events+json"


class _Kind(msgspec.Struct):
    kind: str


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_kind = msgspec.json.Decoder(_Kind)
_KNOWN = frozenset(member.__struct_config__.tag for member in Event.__args__)


def encode(event: Event) -> bytes:
    """The record of an event."""
    return _encoder.encode(event)


def decode(record: bytes) -> Event | Unknown:
    """The event of a record; :class:`Unknown` for a kind that a later version wrote.

    Raises :class:`~fairlead.errors.StoreCorrupt` when the record holds no event at all.
    """
    try:
        return _decoder.decode(record)
    except msgspec.MsgspecError as error:
        try:
            kind = _kind.decode(record).kind
        except msgspec.MsgspecError:
            kind = ""
        if not kind or kind in _KNOWN:
            raise StoreCorrupt(f"a record does not hold an event: {error}") from error
        return Unknown(kind, record)
