"""Where a request's credential is found, and whose pages may use a cookie."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.errors import Forbidden, Unauthenticated
from fairlead.policy.caller import Caller
from fairlead.policy.facts import Keep
from fairlead.transports.callers import MAX_READER, Callers
from tests.transports.test_callers import request

TICKET = "flt_" + "0" * 32


class Names:
    """Names the caller after the credential."""

    async def identify(self, credential: str | None) -> Caller:
        if credential is None:
            raise Unauthenticated("who are you?")
        return Caller(credential, claims={"team": "blue", "email": "a@example.com"})


CALLERS = Callers(
    Names(), Keep(claims=frozenset({"team"})), cookie="fairlead", origins=["https://app.example"]
)


async def who(scope: dict[str, Any]) -> str:
    return (await CALLERS.of(scope)).consumer


def get(path: str, query: str = "", **more: Any) -> dict[str, Any]:
    return request(method="GET", path=path, query_string=query.encode(), **more)


async def test_the_header_goes_first_then_the_subprotocol_the_ticket_the_cookie() -> None:
    path, query = "/chat/stream", f"message=x&ticket={TICKET}"
    headers = {"authorization": "Bearer h", "cookie": "fairlead=c"}
    assert await who(request(headers, method="GET", path=path, query_string=query.encode())) == "h"
    del headers["authorization"]
    scope = request(headers, method="GET", path=path, query_string=query.encode())
    assert await who(scope | {"subprotocols": ["fairlead.key.s"]}) == "s"
    assert await who(scope) == TICKET
    assert await who(scope | {"query_string": b""}) == "c"


@pytest.mark.parametrize(
    "path",
    [
        "/chat/stream",
        "/streams/5h2m7abc",
        "/base/streams/5h2m7abc",
        "/ai/chat/stream",
        "/v1/responses/resp_5h2m7abc",
        "/v1/chat/completions/chatcmpl-5h2m7abc",
    ],
)
async def test_streams_take_tickets(path: str) -> None:
    assert await who(get(path, f"ticket={TICKET}")) == TICKET


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/chat/stream"),
        ("HEAD", "/chat/stream"),
        ("DELETE", "/streams/5h2m7abc"),
        ("GET", "/streams"),
        ("GET", "/streams/"),
        ("GET", "/streams/5h2m7abc/stop"),
        ("GET", "/conversations"),
        ("GET", "/admin/keys"),
        ("GET", "/chat/stream/x"),
    ],
)
async def test_nothing_else_does(method: str, path: str) -> None:
    with pytest.raises(Unauthenticated, match="who are you"):
        await who(get(path, f"ticket={TICKET}") | {"method": method})


async def test_sockets_take_tickets() -> None:
    scope = {**get("/ws", f"ticket={TICKET}"), "type": "websocket"}
    del scope["method"]
    assert await who(scope) == TICKET


async def test_below_another_program_the_paths_are_the_same() -> None:
    mounted: dict[str, Any] = {"root_path": "/ai", "app_root_path": ""}
    key: dict[str, Any] = {
        "type": "websocket",
        "subprotocols": ["realtime", "openai-insecure-api-key.k"],
    }
    assert await who(get("/ai/v1/realtime", **mounted, **key)) == "k"
    secret = {"authorization": "Bearer ek_" + "0" * 32}
    scope = request(secret, type="websocket", path="/ai/v1/realtime", query_string=b"", **mounted)
    assert await who(scope) == "ek_" + "0" * 32
    callers = Callers(Names(), apps=["/shop"])
    scope = get("/ai/shop/events", f"ticket={TICKET}", **mounted)
    assert (await callers.of(scope)).consumer == TICKET


async def test_what_lasts_is_refused_in_a_url() -> None:
    for wrong in ("flk_0123456789_x", "secret", ""):
        with pytest.raises(Unauthenticated) as caught:
            await who(get("/chat/stream", f"ticket={wrong}&x=1"))
        if wrong:
            assert wrong not in caught.value.message


async def test_a_cookie_is_good_for_reading_and_for_own_pages() -> None:
    cookie = {"cookie": "a=b; fairlead=c", "host": "chat.example"}
    for method in ("GET", "HEAD", "OPTIONS"):
        assert await who(request(cookie, method=method, path="/streams")) == "c"
    good = (
        {"origin": "https://chat.example"},
        {"origin": "https://CHAT.example"},
        {"origin": "https://app.example"},
        {"sec-fetch-site": "same-origin"},
    )
    bad: tuple[dict[str, str], ...] = (
        {},
        {"origin": "https://evil.example"},
        {"origin": "https://chat.example.evil.example"},
        {"origin": "https://chat.example:444"},
        {"origin": "null"},
        {"origin": "["},
        {"origin": "https://[", "sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "none"},
    )
    for method in ("POST", "PUT", "PATCH", "DELETE", "ANYTHING"):
        for headers in good:
            assert await who(request(cookie | headers, method=method)) == "c"
        for headers in bad:
            with pytest.raises(Forbidden):
                await who(request(cookie | headers, method=method))
    # A GET that asks is what EventSource sends; over plain HTTP it tells nothing of its page.
    for headers in (*good, {}, {"sec-fetch-site": "none"}):
        assert await who(request(cookie | headers, method="GET")) == "c"
    for headers in bad:
        if headers and headers != {"sec-fetch-site": "none"}:
            with pytest.raises(Forbidden):
                await who(request(cookie | headers, method="GET"))
        scope = request(cookie | headers) | {"type": "websocket"}
        with pytest.raises(Forbidden):
            await who(scope)


async def test_a_header_needs_no_page() -> None:
    headers = {
        "authorization": "Bearer h",
        "cookie": "fairlead=c",
        "origin": "https://evil.example",
    }
    assert await who(request(headers)) == "h"


async def test_cookies_of_other_names_are_none() -> None:
    for cookie in ("fairleads=c", "Fairlead=c", "=c", "fairlead="):
        with pytest.raises(Unauthenticated):
            await who(request({"cookie": cookie}, method="GET"))
    with pytest.raises(Unauthenticated):
        await Callers(Names()).of(request({"cookie": "fairlead=c"}, method="GET"))


async def test_malformed_cookies_of_others_spoil_nothing() -> None:
    for cookie in ('a={"x": 1, "y"}; fairlead=c', "=;;\x00; fairlead=c ;", 'é; fairlead="c"'):
        scope = request(method="GET")
        scope["headers"] = [(b"cookie", cookie.encode())]
        assert await who(scope) == "c"
    many = "; ".join(f"c{n}=x" for n in range(1000))
    with pytest.raises(Unauthenticated):
        await who(request({"cookie": f"{many}; fairlead=c"}, method="GET"))


async def test_of_the_claims_only_those_are_kept_that_decisions_ask_about() -> None:
    caller = await CALLERS.of(request({"authorization": "Bearer h"}))
    assert caller.claims == {"team": "blue"}
    assert (await CALLERS.renewed(caller, "x")).claims == {"team": "blue"}


async def test_a_reader_gives_itself_a_name() -> None:
    key = {"authorization": "Bearer h"}

    async def named(headers: dict[str, str], query: str = "") -> str:
        scope = request(key | headers, query_string=query.encode())
        return (await CALLERS.of(scope)).facts.reader

    assert await named({}) == ""
    assert await named({}, "message=x&reader=tab%207") == "tab 7"
    assert await named({"fairlead-reader": "header"}, "reader=query") == "header"
    assert await named({}, "reader=" + "x" * 1000) == "x" * MAX_READER
