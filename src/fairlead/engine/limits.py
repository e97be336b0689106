"""What the engine bounds, with the defaults that the server's configuration may change."""

from __future__ import annotations

import msgspec

from fairlead.policy.admission import Room
from fairlead.policy.attachments import AttachmentLimits


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """``room`` for generations on this node, and how many seconds one waits for it (``patience``);
    ``readers`` open at once, and of one consumer (``readers_each``; 0: no cap); ``prompt_chars`` of
    one message; ``event_bytes`` of one event; ``deadline`` of a generation and its
    ``orphan_window`` when nobody watches, in seconds; ``history_messages`` given to a provider at
    most; ``message_chars`` of an answer that its message keeps (its stream keeps all);
    ``attachments`` of a question."""

    room: Room = Room()
    patience: float = 60.0
    readers: int = 1000
    readers_each: int = 0
    prompt_chars: int = 100_000
    event_bytes: int = 1024 * 1024
    deadline: float = 3600.0
    orphan_window: float = 60.0
    max_orphan_window: float = 24 * 3600.0
    history_messages: int = 200
    message_chars: int = 1_000_000
    attachments: AttachmentLimits = AttachmentLimits()
