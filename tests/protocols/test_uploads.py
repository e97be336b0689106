"""What a socket holds for the questions to come."""

from __future__ import annotations

import pytest

from fairlead.errors import BadRequest, TooLarge, UnsupportedAttachment
from fairlead.events.attachment import Attachment
from fairlead.policy.attachments import AttachmentLimits
from fairlead.protocols.uploads import Uploads
from tests.support.attachments import NOTES, PICTURE, PNG, TEXT

LIMITS = AttachmentLimits(number=2, bytes=len(PNG), total=len(PNG) + len(NOTES))


def test_a_question_takes_what_it_names() -> None:
    uploads = Uploads(LIMITS)
    uploads.hold("a", PICTURE)
    uploads.hold("b", TEXT)
    inline = Attachment("text/plain", b"x")
    assert uploads.size == LIMITS.total
    assert uploads.take(["b", inline, "a", "b"]) == (TEXT, inline, PICTURE, TEXT)
    assert uploads.size == 0
    with pytest.raises(BadRequest, match="no attachment 'a'"):
        uploads.take(["a"])


def test_what_is_held_is_bounded() -> None:
    uploads = Uploads(LIMITS)
    uploads.hold("a", PICTURE)
    with pytest.raises(TooLarge, match="would hold"):
        uploads.hold("b", PICTURE)
    uploads.hold("b", TEXT)
    with pytest.raises(TooLarge, match="holds 2"):
        uploads.hold("c", TEXT)
    uploads.hold("b", TEXT)  # in place of what is there
    assert uploads.size == LIMITS.total
    assert uploads.take(["a", "b"]) == (PICTURE, TEXT)


def test_what_is_wrong_leaves_what_is_there() -> None:
    uploads = Uploads(LIMITS)
    uploads.hold("a", TEXT)
    with pytest.raises(BadRequest, match="attachment 'a' is no image/png"):
        uploads.hold("a", Attachment("image/png", NOTES))
    with pytest.raises(UnsupportedAttachment):
        uploads.hold("b", Attachment("application/zip", b"PK"))
    assert uploads.size == len(NOTES)
    assert uploads.take(["a"]) == (TEXT,)
