"""What is known of a generation beside its events: the engine's ``meta`` of a generation stream."""

from __future__ import annotations

import msgspec

from fairlead.errors import StoreCorrupt


class GenerationMeta(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``conversation``, ``question`` and ``message`` are ids: the dialogue, the message asked and
    the answer's message (empty where the generation belongs to no dialogue). ``provider`` and
    ``model`` say who answers; ``notice`` is a line for people about that. ``orphan_window``: the
    seconds that it goes on unwatched, None for ever. ``relayed``: it is the event stream of another
    application, called ``provider``."""

    provider: str
    model: str = ""
    notice: str = ""
    conversation: str = ""
    question: str = ""
    message: str = ""
    orphan_window: float | None = 60.0
    relayed: bool = False


_decoder = msgspec.json.Decoder(GenerationMeta)


def encode_meta(meta: GenerationMeta) -> bytes:
    """The bytes that a store keeps."""
    return msgspec.json.encode(meta)


def decode_meta(data: bytes) -> GenerationMeta:
    """What :func:`encode_meta` wrote; :class:`~fairlead.errors.StoreCorrupt` for anything else."""
    try:
        return _decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise StoreCorrupt(f"a stream's meta is not a generation's: {error}") from error
