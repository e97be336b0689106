"""The encoding of ticks and segments.

A tick maps the id of each stream to (offset of its first record, its records). Two appends to one
stream in one commit follow each other, so that one entry holds both.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager

import msgspec

from fairlead.errors import StoreCorrupt

Entry = tuple[int, list[bytes]]

_encoder = msgspec.msgpack.Encoder()
_tick: msgspec.msgpack.Decoder[dict[str, Entry]] = msgspec.msgpack.Decoder(dict[str, Entry])
_records: msgspec.msgpack.Decoder[list[bytes]] = msgspec.msgpack.Decoder(list[bytes])
_ids: msgspec.msgpack.Decoder[list[str]] = msgspec.msgpack.Decoder(list[str])

encode_tick = _encoder.encode
encode_records = _encoder.encode


def decode_tick(data: bytes) -> dict[str, Entry]:
    """What :func:`encode_tick` wrote."""
    with _no_damage():
        return _tick.decode(data)


def decode_records(data: bytes) -> list[bytes]:
    """What :func:`encode_records` wrote."""
    with _no_damage():
        return _records.decode(data)


def encode_ids(ids: Iterable[str]) -> bytes:
    """The ids of streams whose heads changed."""
    return _encoder.encode(list(ids))


def decode_ids(data: bytes | None) -> list[str]:
    """What :func:`encode_ids` wrote; nothing for NULL."""
    with _no_damage():
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


@contextmanager
def _no_damage() -> Generator[None]:
    try:
        yield
    except msgspec.MsgspecError as error:
        raise StoreCorrupt(
            f"the journal holds records that cannot be read ({error}); restore it from a copy"
        ) from error
