"""What a caller asks, and what it gets back for asking."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from fairlead.engine.limits import Limits
from fairlead.errors import BadRequest, TooLarge
from fairlead.events.attachment import Attachment
from fairlead.events.meta import GenerationMeta
from fairlead.policy.attachments import checked
from fairlead.ports.store import StreamInfo

#: The longest id of a conversation that a client may choose, and the longest idempotency key.
MAX_NAME = 128


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One question.

    ``conversation``: the dialogue to go on with (unknown: it is created under this id; empty: a new
    one). ``parent``: the message to follow instead of the newest one, which makes a branch: that is
    how a question is edited; ``""`` begins the dialogue anew. ``regenerate``: the question (or the
    answer to it) to be answered once more; then ``message`` is empty. ``orphan_window``: seconds
    that the generation goes on unwatched; ``background``: for ever. ``attachments`` go along with
    the message.
    """

    message: str = ""
    conversation: str = ""
    parent: str | None = None
    regenerate: str = ""
    model: str = ""
    system: str = ""
    parameters: dict[str, Any] = {}
    orphan_window: float | None = None
    background: bool = False
    attachments: tuple[Attachment, ...] = ()

    def fingerprint(self) -> bytes:
        """What two requests with the same idempotency key must agree in."""
        # Left out of the JSON, which would hold their bytes in base64.
        rest = msgspec.structs.replace(self, attachments=msgspec.UNSET)
        made = hashlib.sha256(msgspec.json.encode(rest, order="deterministic"))
        for attachment in self.attachments:
            made.update(attachment.digest())
        return made.digest()

    def checked(self, limits: Limits) -> Ask:
        """The question in its usual form. Raises :class:`~fairlead.errors.BadRequest`,
        :class:`~fairlead.errors.TooLarge` or :class:`~fairlead.errors.UnsupportedAttachment`,
        naming the field, if this cannot be asked."""
        if self.regenerate:
            if self.message:
                raise BadRequest("give either 'message' or 'regenerate', not both")
            if self.attachments:
                raise BadRequest("'regenerate' keeps the attachments of its question; give none")
            if not self.conversation:
                raise BadRequest("'regenerate' needs the 'conversation_id' of its message")
        elif not self.message.strip():
            raise BadRequest("'message' is missing or empty: it is the question to answer")
        for name, text in (("message", self.message), ("system", self.system)):
            if len(text) > limits.prompt_chars:
                raise TooLarge(
                    f"'{name}' has {len(text)} characters; at most {limits.prompt_chars} are taken"
                )
        for name, text in (
            ("conversation_id", self.conversation),
            ("parent", self.parent or ""),
            ("regenerate", self.regenerate),
            ("model", self.model),
        ):
            if len(text) > MAX_NAME or not text.isprintable():
                raise BadRequest(f"'{name}' must be at most {MAX_NAME} printable characters")
        window = self.orphan_window
        if window is not None and not 0 <= window <= limits.max_orphan_window:
            raise BadRequest(
                f"'orphan_window' must be from 0 to {limits.max_orphan_window:g} seconds; "
                "use 'background' for an answer that nobody need watch"
            )
        if not self.attachments:
            return self
        attachments = checked(self.attachments, limits.attachments)
        return msgspec.structs.replace(self, attachments=attachments)


class Started(msgspec.Struct, frozen=True):
    """The stream that answers, as it was then. ``created`` is False when an idempotency key found
    it there."""

    stream: str
    meta: GenerationMeta
    info: StreamInfo
    created: bool
