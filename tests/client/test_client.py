"""The client over connections that break in every way, against exact bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead import errors
from fairlead.client.answers import Event, Reconnecting
from fairlead.client.client import MAX_FAILURES, Client
from fairlead.client.problems import Unreachable
from tests.client.wire import (
    STREAM,
    Reply,
    Wire,
    block,
    chunk,
    chunked_head,
    done,
    head,
    problem,
    thinking,
    token,
)


class Talk:
    """A client of a wire whose waits take no time; ``waits`` are those it would have made."""

    def __init__(self, *replies: Reply, api_key: str | None = None, silence: float = 60.0) -> None:
        self.wire = Wire(replies)
        self.waits: list[float] = []
        self.reconnects: list[Reconnecting] = []
        self._api_key = api_key
        self._silence = silence

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    def client(self) -> Client:
        return Client(
            self.wire.url,
            self._api_key,
            on_reconnect=self.reconnects.append,
            silence=self._silence,
            transport="sse",
            random=lambda: 0.0,
            sleep=self._sleep,
        )

    async def ask(self, message: str = "hi", **fields: Any) -> list[Event]:
        async with self.wire.serving(), self.client() as client:
            return [event async for event in client.ask(message, **fields)]

    async def attach(self, after: str | None = None) -> list[Event]:
        async with self.wire.serving(), self.client() as client:
            return [event async for event in client.attach(STREAM, after)]


def text(events: list[Event]) -> str:
    return "".join(event.text for event in events)


WHOLE = [thinking(), token(2, "Hello"), token(3, ", wörld"), done(4)]


async def test_an_answer_comes_as_events() -> None:
    talk = Talk(Reply([head(fairlead_stream=STREAM), *WHOLE]), api_key="k-1")
    events = await talk.ask("hi", conversation_id="c1", model=None)
    assert [e.name for e in events] == ["thinking", "token", "token", "done"]
    assert text(events) == "Hello, wörld"
    assert (events[1].stream, events[1].position) == (STREAM, "2")
    [asked] = talk.wire.asked
    assert (asked.method, asked.path) == ("POST", "/chat/stream")
    assert msgspec.json.decode(asked.body) == {"message": "hi", "conversation_id": "c1"}
    assert asked.headers["authorization"] == "Bearer k-1"
    assert asked.headers["accept"] == "text/event-stream"
    assert len(asked.headers["idempotency-key"]) >= 22
    assert talk.waits == []


async def test_every_question_has_a_key_of_its_own() -> None:
    talk = Talk(Reply([head(), *WHOLE]), Reply([head(), *WHOLE]))
    async with talk.wire.serving(), talk.client() as client:
        for _ in range(2):
            assert [e async for e in client.ask("hi")]
    first, second = talk.wire.asked
    assert first.headers["idempotency-key"] != second.headers["idempotency-key"]


async def test_a_base_path_is_kept() -> None:
    talk = Talk(Reply([head(), *WHOLE]))
    async with talk.wire.serving(), Client(talk.wire.url + "/api/") as client:
        assert [e async for e in client.ask("hi", key="mine")]
    assert talk.wire.asked[0].path == "/api/chat/stream"
    assert talk.wire.asked[0].headers["idempotency-key"] == "mine"


# -- breaks


@pytest.mark.parametrize("then", ["end", "reset"])
async def test_a_broken_answer_goes_on_where_it_stood(then: str) -> None:
    cut = token(3, "lost")[:-7]
    talk = Talk(
        Reply([chunked_head(), chunk(thinking()), chunk(token(2, "Hello")), chunk(cut)], then),
        Reply([chunked_head(), chunk(token(3, ", world")), chunk(done(4))], then),
    )
    events = await talk.ask()
    assert text(events) == "Hello, world"
    again = talk.wire.asked[1]
    assert (again.method, again.path, again.body) == ("GET", f"/streams/{STREAM}", b"")
    assert again.headers["last-event-id"] == f"{STREAM}.2"
    assert len(talk.reconnects) == 1


async def test_a_body_that_ends_early_but_properly_is_a_break_too() -> None:
    talk = Talk(Reply([head(), thinking(), token(2, "a")]), Reply([head(), token(3, "b"), done(4)]))
    assert text(await talk.ask()) == "ab"


async def test_nothing_heard_at_all_asks_again_with_the_same_key() -> None:
    talk = Talk(Reply([], "reset"), Reply([head()], "reset"), Reply([head(), *WHOLE]))
    assert text(await talk.ask()) == "Hello, wörld"
    assert [a.method for a in talk.wire.asked] == ["POST"] * 3
    assert len({a.headers["idempotency-key"] for a in talk.wire.asked}) == 1
    assert len({a.body for a in talk.wire.asked}) == 1


async def test_the_header_names_the_stream_before_any_event_does() -> None:
    talk = Talk(
        Reply([chunked_head(fairlead_stream=STREAM)], "reset"),
        Reply([head(), *WHOLE]),
    )
    assert text(await talk.ask()) == "Hello, wörld"
    again = talk.wire.asked[1]
    assert (again.method, again.path) == ("GET", f"/streams/{STREAM}")
    assert "last-event-id" not in again.headers


async def test_a_silent_connection_is_dead() -> None:
    talk = Talk(
        Reply([head(), thinking(), token(2, "a")], "hang"),
        Reply([head(), token(3, "b"), done(4)]),
        silence=0.5,
    )
    assert text(await talk.ask()) == "ab"
    assert talk.reconnects[0].reason == "nothing came for too long"


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 400), max_size=6))
async def test_wherever_it_is_cut_every_event_comes_once(cuts: list[int]) -> None:
    blocks = [thinking(), *[token(n, f"<{n}>") for n in range(2, 12)], done(12)]
    wire = Resuming(blocks, cuts)
    async with wire.serving():
        client = Client(wire.url, sleep=_at_once)
        async with client:
            events = [event async for event in client.ask("hi")]
    assert [e.position for e in events] == [str(n) for n in range(1, 13)]
    assert text(events) == "".join(f"<{n}>" for n in range(2, 12))


async def _at_once(seconds: float) -> None:
    await asyncio.sleep(0)


class Resuming(Wire):
    """Serves what follows the ``Last-Event-ID``, cut after so many bytes, once for each of
    ``cuts``."""

    def __init__(self, blocks: list[bytes], cuts: list[int]) -> None:
        super().__init__([])
        self._blocks = blocks
        self._cuts = cuts

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        ids = [line.rpartition(".")[2] for line in lines if line.startswith("last-event-id")]
        rest = b"".join(self._blocks[int(ids[0]) if ids else 0 :])
        if self._cuts:
            rest = rest[: self._cuts.pop(0)]
        self._replies = [Reply([head(fairlead_stream=STREAM) + rest])]
        writer.write(self._replies.pop().pieces[0])
        await writer.drain()
        writer.close()


# -- when to come back


async def test_the_servers_retry_is_the_wait_and_doubles() -> None:
    talk = Talk(
        Reply([head(), thinking(retry=3000)]),
        Reply([head()]),
        Reply([head()]),
        Reply([head(), done(2)]),
    )
    await talk.ask()
    assert talk.waits == [3.0, 6.0, 12.0]


async def test_progress_makes_it_patient_again() -> None:
    talk = Talk(
        Reply([head(), thinking(retry=1000)]),
        Reply([head()]),
        Reply([head(), b": heartbeat\n"]),
        Reply([head(), done(2)]),
    )
    await talk.ask()
    assert talk.waits == [1.0, 2.0, 1.0]


async def test_a_draining_server_says_when_to_come_back() -> None:
    talk = Talk(
        Reply([head(), thinking(), block(1, "drain", {"retry_after": 1.5}, retry=1500)]),
        Reply([head(), token(2, "a"), done(3)]),
    )
    events = await talk.ask()
    assert [e.name for e in events] == ["thinking", "token", "done"]
    assert talk.waits == [1.5]
    assert talk.reconnects[0].reason == "the server is restarting"
    assert talk.wire.asked[1].headers["last-event-id"] == f"{STREAM}.1"


async def test_a_busy_server_is_asked_again_when_it_wishes() -> None:
    talk = Talk(
        problem("503 Service Unavailable", "busy", True, retry_after="7"),
        Reply([head("502 Bad Gateway", "text/html"), b"<html>proxy</html>"]),
        Reply([head(), *WHOLE]),
    )
    assert text(await talk.ask()) == "Hello, wörld"
    assert talk.waits == [7.0, 2.0]


async def test_a_budget_that_refills_soon_is_waited_for_and_no_other() -> None:
    talk = Talk(refill(60), Reply([head(), *WHOLE]))
    assert text(await talk.ask()) == "Hello, wörld"
    assert talk.waits == [60.0]
    later = Talk(refill(34_200))
    with pytest.raises(errors.BudgetExhausted, match="used up") as refused:
        await later.ask()
    assert refused.value.retry_after == 34_200
    assert later.waits == []


def refill(seconds: int) -> Reply:
    fields = {"error": "it is used up", "code": "budget_exhausted", "retryable": True}
    start = head("429 Too Many Requests", "application/json", retry_after=str(seconds))
    return Reply([start + msgspec.json.encode({**fields, "retry_after": seconds})])


async def test_it_gives_up_in_the_end() -> None:
    talk = Talk(Reply([head(), thinking()]))
    with pytest.raises(Unreachable, match="gave up"):
        await talk.ask()
    assert len(talk.wire.asked) == MAX_FAILURES + 1


async def test_nobody_there_is_said_at_once() -> None:
    server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    async with Client(f"http://127.0.0.1:{port}") as client:
        with pytest.raises(Unreachable, match="Connection refused"):
            [e async for e in client.ask("hi")]
        with pytest.raises(Unreachable, match="Connection refused"):
            await client.stop(STREAM)


# -- errors


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        ("400 Bad Request", "bad_request", errors.BadRequest),
        ("401 Unauthorized", "unauthenticated", errors.Unauthenticated),
        ("404 Not Found", "not_found", errors.NotFound),
        ("409 Conflict", "conflict", errors.Conflict),
        ("410 Gone", "gone", errors.HistoryGone),
        ("413 Content Too Large", "too_large", errors.TooLarge),
        ("500 Internal Server Error", "store_corrupt", errors.StoreCorrupt),
        ("400 Bad Request", "of_a_later_version", Unreachable),
    ],
)
async def test_an_error_comes_back_as_itself(
    status: str, code: str, kind: type[errors.FairleadError]
) -> None:
    talk = Talk(problem(status, code, False))
    with pytest.raises(kind, match=f"it is {code}"):
        await talk.ask()
    assert len(talk.wire.asked) == 1


@pytest.mark.parametrize(
    "reply",
    [
        Reply([head("200 OK", "text/html"), b"<html></html>"]),
        Reply([head(), b"data: [1]\n\n"]),
        Reply([head(), b"data: {\n\n"]),
    ],
)
async def test_what_is_no_fairlead_server_is_said_so(reply: Reply) -> None:
    with pytest.raises(errors.UpstreamProtocol, match="is it a Fairlead server"):
        await Talk(reply).ask()


async def test_a_redirect_is_not_followed_with_the_key() -> None:
    talk = Talk(Reply([head("301 Moved", location="https://x.example/?a=b")]), api_key="k")
    with pytest.raises(Unreachable, match=r"redirects to https://x\.example/;"):
        await talk.ask()


@pytest.mark.parametrize("code", ["unauthenticated", "revoked"])
async def test_another_key_is_asked_for_when_one_is_good_no_more(code: str) -> None:
    expired = {"error": "over", "code": code, "retryable": False}
    wire = Wire(
        [
            problem("401 Unauthorized", code, False),
            Reply([head(), thinking(), block(1, "error", expired)]),
            Reply([head(), token(2, "a"), done(3)]),
        ]
    )
    keys = iter("abc")
    async with wire.serving(), Client(wire.url, lambda: next(keys), transport="sse") as client:
        assert text([event async for event in client.ask("hi")]) == "a"
    assert [asked.headers["authorization"] for asked in wire.asked] == [
        "Bearer a",
        "Bearer b",
        "Bearer c",
    ]


async def test_a_key_that_is_refused_again_ends_it() -> None:
    wire = Wire([problem("401 Unauthorized", "unauthenticated", False)] * 3)
    async with wire.serving(), Client(wire.url, lambda: "k") as client:
        with pytest.raises(errors.Unauthenticated):
            [event async for event in client.ask("hi")]
        await client.refresh("k-2")
        with pytest.raises(errors.Unauthenticated):
            await client.answer(STREAM)
    assert [a.headers["authorization"] for a in wire.asked] == [
        "Bearer k",
        "Bearer k",
        "Bearer k-2",
    ]


async def test_an_unknown_event_is_passed_on_and_an_error_ends() -> None:
    failed = {"error": "too long", "code": "upstream_rejected", "retryable": False}
    talk = Talk(Reply([head(), thinking(), block(2, "hologram", {}), block(3, "error", failed)]))
    events = await talk.ask()
    assert [e.name for e in events] == ["thinking", "hologram", "error"]
    assert events[-1].data == failed
    assert len(talk.wire.asked) == 1


@pytest.mark.parametrize(
    "url",
    ["ftp://h", "h:8000", "http://", "http://u:p@h", "http://h/?key=1", "http://h:99999", ""],
)
def test_an_address_that_cannot_be_is_refused(url: str) -> None:
    with pytest.raises(errors.BadRequest, match=r"http://127\.0\.0\.1:8000"):
        Client(url)


def test_a_key_that_cannot_be_sent_is_refused_and_not_repeated() -> None:
    with pytest.raises(errors.BadRequest) as caught:
        Client("http://h", "two words")
    assert "two words" not in caught.value.message


# -- attach, start, stop


@pytest.mark.parametrize("after", ["2", f"{STREAM}.2"])
async def test_attaching_goes_on_after_a_position(after: str) -> None:
    talk = Talk(Reply([head(), token(3, "b"), done(4)]))
    assert text(await talk.attach(after)) == "b"
    assert talk.wire.asked[0].headers["last-event-id"] == f"{STREAM}.2"


async def test_attaching_at_the_end_gives_nothing() -> None:
    talk = Talk(Reply([b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"]))
    assert await talk.attach("4") == []


@pytest.mark.parametrize("stream", ["", " ", "a\r\nb", "ß"])
def test_a_stream_that_cannot_be_is_refused(stream: str) -> None:
    with pytest.raises(errors.BadRequest):
        Client("http://h").attach(stream)


async def test_starting_leaves_after_the_first_event() -> None:
    talk = Talk(Reply([head(fairlead_stream=STREAM), thinking()], "hang"))
    async with talk.wire.serving(), talk.client() as client:
        assert await client.start("hi", background=True) == STREAM
    assert msgspec.json.decode(talk.wire.asked[0].body) == {"message": "hi", "background": True}


async def test_closing_the_events_closes_the_connection() -> None:
    left = asyncio.Event()

    class Watching(Wire):
        async def _connection(
            self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(head() + thinking())
            while await reader.read(1000):
                pass
            left.set()
            writer.close()

    async with Watching([]).serving() as wire, Client(wire.url) as client:
        events: AsyncGenerator[Event, None] = client.ask("hi")
        assert (await anext(events)).name == "thinking"
        await events.aclose()
        await asyncio.wait_for(left.wait(), 90)


async def test_stop_and_answer_give_the_whole() -> None:
    body = msgspec.json.encode(
        {"stream": STREAM, "status": "stopped", "text": "so far", "of_a_later_version": 1}
    )
    replies = [Reply([head("200 OK", "application/json") + body])] * 2
    talk = Talk(*replies)
    async with talk.wire.serving(), talk.client() as client:
        stopped = await client.stop(STREAM)
        assert (stopped.status, stopped.text) == ("stopped", "so far")
        assert await client.answer(STREAM) == stopped
    assert [(a.method, a.path) for a in talk.wire.asked] == [
        ("POST", f"/streams/{STREAM}/stop"),
        ("GET", f"/streams/{STREAM}"),
    ]


async def test_no_error_holds_the_key() -> None:
    secret = "k-very-secret"
    talk = Talk(problem("401 Unauthorized", "unauthenticated", False), api_key=secret)
    with pytest.raises(errors.Unauthenticated) as caught:
        await talk.ask()
    assert secret not in repr(caught.value)
