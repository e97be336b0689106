"""What is handed on to an application behind us, and of its answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.framing.forwarding import (
    Headers,
    climbs,
    from_application,
    handed_id,
    to_application,
    without_our_credentials,
)

names = st.text("abcdefghij-", min_size=1, max_size=12).map(str.encode)
values = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20).map(str.encode)


def handed(headers: Headers, *, pass_authorization: bool = False) -> dict[bytes, list[bytes]]:
    made = to_application(
        headers,
        consumer="grüß",
        address="::1",
        scheme="https",
        host=b"here.example",
        prefix="/shop",
        pass_authorization=pass_authorization,
    )
    found: dict[bytes, list[bytes]] = {}
    for name, value in made:
        found.setdefault(name, []).append(value)
    return found


@given(st.lists(st.tuples(names, values), max_size=8), st.lists(names, max_size=4))
def test_what_connection_names_is_for_one_hop(headers: Headers, named: list[bytes]) -> None:
    got = handed([*headers, (b"connection", b" , ".join(named).upper())])
    assert not got.keys() & {*named, b"connection"}
    for name, value in headers:
        if name not in named:
            assert value in got[name]


@pytest.mark.parametrize(
    "name",
    [
        "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "expect",
        "proxy-authorization", "proxy-connection", "content-length", "authorization", "forwarded",
        "x-real-ip", "last-event-id", "sec-websocket-key", "sec-websocket-protocol",
        "fairlead-anything",
    ],
)  # fmt: skip
def test_what_is_not_the_applications_is_not_handed_on(name: str) -> None:
    assert name.encode() not in handed([(name.encode(), b"x")])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("host", None),
        ("accept-encoding", b"identity"),
        ("x-forwarded-for", b"::1"),
        ("x-forwarded-proto", b"https"),
        ("x-forwarded-host", b"here.example"),
        ("x-forwarded-prefix", b"/shop"),
        ("fairlead-consumer", b"gr%C3%BC%C3%9F"),
    ],
)
def test_what_we_say_nobody_else_says(name: str, said: bytes | None) -> None:
    got = handed([(name.encode(), b"forged"), (name.encode(), b"again")])
    assert got.get(name.encode()) == (None if said is None else [said])


def test_authorization_is_handed_on_where_told() -> None:
    headers = [(b"authorization", b"Basic dTpw")]
    assert handed(headers, pass_authorization=True)[b"authorization"] == [b"Basic dTpw"]


@pytest.mark.parametrize("ours", ["flk_x", "fls_x", "flt_x", '"fls_x"', "fls%5fx", "%66lt_x"])
def test_our_credentials_stay_here(ours: str) -> None:
    got = handed([(b"cookie", f"a=1; s={ours};b=2".encode()), (b"cookie", f"s={ours}".encode())])
    assert got[b"cookie"] == [b"a=1; b=2"]
    assert without_our_credentials(f"a=1&t={ours}&&b".encode()) == b"a=1&&b"


def test_answer_is_the_applications_but_for_the_hop() -> None:
    made = from_application(
        [
            (b"Connection", b"close, X-Hop"),
            (b"X-Hop", b"1"),
            (b"Transfer-Encoding", b"chunked"),
            (b"Server", b"theirs"),
            (b"Set-Cookie", b"a=1"),
            (b"Set-Cookie", b"b=2"),
            (b"Content-Length", b"3"),
            (b"Access-Control-Allow-Origin", b"*"),
            (b"Fairlead-Stream", b"forged"),
        ],
        target="http://app:1/base",
        prefix="/shop",
        cross_origin=True,
    )
    assert made == [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"content-length", b"3")]


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("http://app:1/base/x?y#z", "/shop/x?y#z"),
        ("http://app:1/base", "/shop"),
        ("http://app:1/basement", "/basement"),
        ("http://app:10/base", "http://app:10/base"),
        ("/base/x", "/shop/x"),
        ("//app:1/base", "//app:1/base"),
        ("x", "x"),
        ("", ""),
    ],
)
def test_locations(location: str, shown: str) -> None:
    (made,) = from_application(
        [(b"Location", location.encode())],
        target="http://app:1/base",
        prefix="/shop",
        cross_origin=False,
    )
    assert made == (b"location", shown.encode())


def test_small_things() -> None:
    assert [climbs(path) for path in ("/a/../b", "/..", "/a/.", "/a\\..\\b")] == [True] * 4
    assert [climbs(path) for path in ("", "/a/..b", "/...", "/a.b/c")] == [False] * 4
    assert [handed_id(id) for id in ("7", "a b", "ü", "", None, "x" * 129)] == [
        "7", "", "", "", "", "",
    ]  # fmt: skip
