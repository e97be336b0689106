"""Attachments that came over a socket ahead of the question that names them."""

from __future__ import annotations

from collections.abc import Sequence

from fairlead.errors import BadRequest, TooLarge
from fairlead.events.attachment import Attachment
from fairlead.policy.attachments import AttachmentLimits, check


class Uploads:
    """What one socket holds: no more than one question may have. An id is good for one question."""

    def __init__(self, limits: AttachmentLimits) -> None:
        self._limits = limits
        self._held: dict[str, Attachment] = {}

    @property
    def size(self) -> int:
        """Bytes held."""
        return sum(len(attachment.data) for attachment in self._held.values())

    def hold(self, id: str, attachment: Attachment) -> Attachment:
        """Keep one, in place of what ``id`` named before; as it is kept.

        Raises :class:`~fairlead.errors.BadRequest`, :class:`~fairlead.errors.TooLarge` or
        :class:`~fairlead.errors.UnsupportedAttachment`; then nothing has changed.
        """
        attachment = check(attachment, self._limits, f"attachment {id!r}")
        before = self._held.get(id)
        if before is None and len(self._held) >= self._limits.number:
            raise TooLarge(
                f"this socket holds {self._limits.number} attachments, which is the most: ask with "
                "them, or upload under an id that there is"
            )
        size = self.size - (len(before.data) if before else 0) + len(attachment.data)
        if size > self._limits.total:
            raise TooLarge(
                f"with attachment {id!r} this socket would hold {size} bytes; at most "
                f"{self._limits.total} are held"
            )
        self._held[id] = attachment
        return attachment

    def take(self, given: Sequence[str | Attachment]) -> tuple[Attachment, ...]:
        """The attachments of a question, of which some are only named. Those are let go of,
        whatever becomes of the question: nothing that nobody asks with stays here."""
        found: list[Attachment] = []
        for each in given:
            if isinstance(each, str):
                if each not in self._held:
                    raise BadRequest(
                        f"there is no attachment {each[:100]!r} on this socket: upload it before "
                        "the question; each is good for one"
                    )
                found.append(self._held[each])
            else:
                found.append(each)
        for each in given:
            if isinstance(each, str):
                self._held.pop(each, None)
        return tuple(found)
