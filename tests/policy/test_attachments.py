"""Which attachments a question may have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.errors import BadRequest, CallerError, TooLarge, UnsupportedAttachment
from fairlead.events.attachment import Attachment
from fairlead.policy.attachments import AttachmentLimits, checked, takes
from tests.support.attachments import GIF, JPEG, NOTES, PICTURE, PNG, TEXT, WEBP

LIMITS = AttachmentLimits(number=2, bytes=len(PNG), total=len(PNG) + 100)


def test_what_may_come_is_taken_as_it_is() -> None:
    given = [PICTURE, TEXT]
    assert checked(given, LIMITS) == tuple(given)
    assert checked([], LIMITS) == ()


@pytest.mark.parametrize("type", ["IMAGE/PNG", "image/png ", "image/png; q=1"])
def test_a_type_gets_its_usual_form(type: str) -> None:
    assert checked([Attachment(type, PNG)], LIMITS) == (Attachment("image/png", PNG),)


@pytest.mark.parametrize(
    ("type", "data"),
    [("image/png", PNG), ("image/jpeg", JPEG), ("image/gif", GIF), ("image/webp", WEBP)],
)
def test_a_picture_is_what_its_type_says(type: str, data: bytes) -> None:
    assert checked([Attachment(type, data)], LIMITS)
    for other in {"image/png", "image/jpeg", "image/gif", "image/webp"} - {type}:
        with pytest.raises(BadRequest, match=f"attachment 1 .x. is no {other}"):
            checked([Attachment(other, data, "x")], LIMITS)


@pytest.mark.parametrize(
    ("attachment", "error", "words"),
    [
        (Attachment("text/plain", b"\xff\xfe"), BadRequest, "in UTF-8"),
        (Attachment("text/csv", b"a\0b"), BadRequest, "in UTF-8"),
        (Attachment("text/plain", b""), BadRequest, "is empty"),
        (Attachment("png", PNG), BadRequest, "media type such as"),
        (Attachment("image/svg+xml", b"<svg/>"), UnsupportedAttachment, "taken: image/png"),
        (Attachment("image/png", PNG + b"x"), TooLarge, f"at most {len(PNG)}"),
        (Attachment("text/plain", NOTES, "a/b"), BadRequest, "a file's name"),
        (Attachment("text/plain", NOTES, "a\nb"), BadRequest, "a file's name"),
        (Attachment("text/plain", NOTES, "x" * 256), BadRequest, "a file's name"),
    ],
)
def test_the_rest_is_refused_in_words(
    attachment: Attachment, error: type[CallerError], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        checked([TEXT, attachment], LIMITS)
    assert type(caught.value) is error
    assert "attachment 2" in caught.value.message


def test_how_many_and_how_much_together() -> None:
    with pytest.raises(TooLarge, match="at most 2"):
        checked([TEXT] * 3, LIMITS)
    with pytest.raises(TooLarge, match=f"at most {LIMITS.total}"):
        checked([PICTURE] * 2, LIMITS)
    with pytest.raises(TooLarge, match="at most 0"):
        checked([TEXT], AttachmentLimits(number=0))


@given(
    st.lists(st.builds(Attachment, st.text(max_size=20), st.binary(max_size=40), st.text())),
)
def test_whatever_comes_is_taken_or_refused(attachments: list[Attachment]) -> None:
    try:
        taken = checked(attachments, LIMITS)
    except CallerError:
        return
    assert [each.data for each in taken] == [each.data for each in attachments]
    assert all(each.type in LIMITS.types for each in taken)


def test_what_a_model_takes() -> None:
    assert takes(("image/*", "text/plain"), "image/png")
    assert takes(("*/*",), "image/png")
    assert not takes(("image/*", "text/plain"), "text/csv")
    assert not takes((), "text/plain")


def test_bytes_do_not_show_in_logs() -> None:
    assert repr(TEXT) == f"Attachment('text/plain', {len(NOTES)} bytes, 'notes.txt')"
