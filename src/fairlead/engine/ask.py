"""What a caller asks, and what it gets back for asking."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from fairlead.engine.limits import Limits
from fairlead.errors import BadRequest, TooLarge
from fairlead.events.attachment import Attachment
from fairlead.events.meta import GenerationMeta
from fairlead.events.model import Asked
from fairlead.policy.attachments import checked
from fairlead.ports.provider import Turn, Vendor
from fairlead.ports.store import StreamInfo

#: The longest id of a conversation that a client may choose, and the longest idempotency key.
MAX_NAME = 128


class Kept(msgspec.Struct, frozen=True):
    """A question as a conversation keeps it: its ``text``, and the vendor's ``items`` that have it,
    a JSON array."""

    text: str
    items: bytes


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One question.

    ``conversation``: the dialogue to go on with (unknown: it is created under this id; empty: a new
    one). ``parent``: the message to follow instead of the newest one, which makes a branch: that is
    how a question is edited; ``""`` begins the dialogue anew. ``regenerate``: the question (or the
    answer to it) to be answered once more; then ``message`` is empty. ``orphan_window``: seconds
    that the generation goes on unwatched; ``background``: for ever. ``attachments`` go along with
    the message.

    ``turns``: the whole dialogue, oldest first, where the caller keeps it itself. It then stands in
    place of ``message``, ``conversation`` and what belongs to them: nothing of it is stored, and
    the question is its last turn of a user. ``vendor``: the same in the caller's own words;
    ``kept``: what of them is added to ``conversation``, which then is there already. ``asked``:
    what of them is kept with the answer, for dialects that show it again. ``whole``: nothing of it
    may be left out for want of room.
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
    turns: tuple[Turn, ...] = ()
    vendor: Vendor | None = None
    asked: Asked | None = None
    kept: Kept | None = None
    whole: bool = False

    def fingerprint(self) -> bytes:
        """What two requests with the same idempotency key must agree in."""
        # Left out of the JSON, which would hold their bytes in base64.
        rest = msgspec.structs.replace(
            self,
            attachments=msgspec.UNSET,
            vendor=msgspec.UNSET,
            asked=msgspec.UNSET,
            kept=msgspec.UNSET,
            whole=msgspec.UNSET,
        )
        if self.vendor is not None or not self.turns:
            # Turns and parameters are what the vendor's words mean.
            rest = msgspec.structs.replace(rest, turns=msgspec.UNSET)
        made = hashlib.sha256(msgspec.json.encode(rest, order="deterministic"))
        if self.vendor is not None:
            made.update(b"%b\n%b" % (self.vendor.dialect.encode(), self.vendor.body))
        for attachment in self.attachments:
            made.update(attachment.digest())
        return made.digest()

    def checked(self, limits: Limits) -> Ask:
        """The question in its usual form. Raises :class:`~fairlead.errors.BadRequest`,
        :class:`~fairlead.errors.TooLarge` or :class:`~fairlead.errors.UnsupportedAttachment`,
        naming the field, if this cannot be asked."""
        if self.turns:
            placed = self.conversation and self.kept is None
            if self.message or placed or self.parent is not None or self.regenerate:
                raise BadRequest("'turns' are a whole dialogue: give no other one beside them")
            if self.attachments:
                raise BadRequest("attachments belong to their turns here")
        elif self.regenerate:
            if self.message:
                raise BadRequest("give either 'message' or 'regenerate', not both")
            if self.attachments:
                raise BadRequest("'regenerate' keeps the attachments of its question; give none")
            if not self.conversation:
                raise BadRequest("'regenerate' needs the 'conversation_id' of its message")
        elif not self.message.strip():
            raise BadRequest("'message' is missing or empty: it is the question to answer")
        texts = [("message", self.message), ("system", self.system)]
        texts += [(f"turns[{n}]", turn.text) for n, turn in enumerate(self.turns)]
        for name, text in texts:
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
