"""The encoding of ticks and segments.

A tick maps the id of each stream to (offset of its first record, its records). Two appends to one
stream in one commit follow each other, so that one entry holds both.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

Entry = tuple[int, list[bytes]]

_encoder = msgspec.msgpack.Encoder()
_tick: msgspec.msgpack.Decoder[dict[str, Entry]] = msgspec.msgpack.Decoder(dict[str, Entry])
_records: msgspec.msgpack.Decoder[list[bytes]] = msgspec.msgpack.Decoder(list[bytes])
_ids: msgspec.msgpack.Decoder[list[str]] = msgspec.msgpack.Decoder(list[str])

encode_tick = _encoder.encode
encode_records = _encoder.encode
decode_tick = _tick.decode
decode_records = _records.decode


def encode_ids(ids: Iterable[str]) -> bytes:
    """The ids of streams whose heads changed."""
    return _encoder.encode(list(ids))


def decode_ids(data: bytes | None) -> list[str]:
    """What :func:`encode_ids` wrote; nothing for NULL."""
    return [] if data is None else _ids.decode(data)


def extend(records: list[bytes], base: int, at: int, more: list[bytes]) -> None:
    """Add ``more``, which begins at offset ``at``, to ``records``, which begin at ``base``; what is
    there already, or lies before ``base``, is left out.

    Raises :class:`ValueError` if a hole would remain.
    """
    tail = base + len(records)
    if at == tail:
        records += more
    elif at > tail:
        raise ValueError(f"records {tail} to {at} are missing")
    elif at + len(more) > tail:
        records += more[tail - at :]
