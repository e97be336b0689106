"""Forms of several parts."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.errors import BadRequest
from fairlead.framing.multipart import parts

TYPE = "multipart/form-data; boundary=b"


def test_parts_by_their_names() -> None:
    body = (
        b'a preamble\r\n--b\r\nContent-Disposition: form-data; name="sdp"\r\n'
        b"Content-Type: application/sdp\r\n\r\nv=0\r\ns=-\r\n\r\n--b\r\n"
        b'content-disposition: form-data; filename="x"; name="session"\r\n\r\n{}\r\n--b--\r\nmore'
    )
    assert parts(TYPE, body) == {"sdp": b"v=0\r\ns=-\r\n", "session": b"{}"}
    assert parts('multipart/form-data; boundary="b"', body)["session"] == b"{}"


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.binary(max_size=40)))
def test_what_was_written_is_read(form: dict[str, bytes]) -> None:
    body = b"".join(
        b'--BOUNDARY\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
        % (name.encode(), content)
        for name, content in form.items()
    )
    assert parts("multipart/form-data; boundary=BOUNDARY", body + b"--BOUNDARY--\r\n") == form


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"--b--"),
        (TYPE, b""),
        (TYPE, b"--b\r\n"),
        (TYPE, b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\ncut'),
        (TYPE, b"--b\r\n\r\nnameless\r\n--b--"),
        (TYPE, b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--"),
        (TYPE, b'--b\r\nContent-Disposition: form-data; name="x"\r\n--b--'),
        (TYPE, b"--b\r\n" * 100 + b"--b--"),
    ],
)
def test_what_is_no_form_is_refused(kind: str, body: bytes) -> None:
    with pytest.raises(BadRequest):
        parts(kind, body)


@given(st.binary(max_size=100))
def test_nothing_but_a_refusal_comes_of_noise(noise: bytes) -> None:
    for body in (noise, b"--b" + noise, b"--b\r\n" + noise + b"\r\n--b--"):
        with contextlib.suppress(BadRequest):
            parts(TYPE, body)
