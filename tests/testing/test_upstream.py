"""Every behaviour of the scripted upstream, seen by a real client or on a bare socket."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest

from fairlead.framing.event_stream import Parser
from fairlead.testing.upstream import (
    Answer,
    Close,
    Echo,
    Ending,
    Fault,
    HugeLine,
    Insert,
    Pace,
    Refuse,
    Reset,
    ScriptedUpstream,
    Silent,
    Stall,
    Status,
    StreamError,
    ToolCall,
    Truncate,
    Wire,
)

QUESTION = {"model": "gpt-x", "messages": [{"role": "user", "content": "Grüß dich, Welt"}]}
STREAM = {**QUESTION, "stream": True}


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def chat_url(upstream: ScriptedUpstream) -> str:
    return f"{upstream.base_url}/chat/completions"


async def body_of(
    client: aiohttp.ClientSession, upstream: ScriptedUpstream, question: dict[str, Any] = STREAM
) -> bytes:
    async with client.post(chat_url(upstream), json=question) as response:
        assert response.status == 200
        return await response.read()


def payloads(body: bytes) -> list[Any]:
    """The data of the events: JSON decoded, [DONE] as it is."""
    data = [frame.data.decode() for frame in Parser().feed(body)]
    return [text if text == "[DONE]" else json.loads(text) for text in data]


def deltas(body: bytes, name: str = "content", index: int = 0) -> list[Any]:
    return [
        choice["delta"][name]
        for chunk in payloads(body)
        if chunk != "[DONE]"
        for choice in chunk.get("choices", ())
        if choice["index"] == index and choice["delta"].get(name)
    ]


class Raw:
    """A bare socket that has asked its question."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def head(self) -> bytes:
        return await self.reader.readuntil(b"\r\n\r\n")

    async def until(self, end: bytes) -> bytes:
        return await self.reader.readuntil(end)

    async def rest(self) -> bytes:
        return await self.reader.read()


def request_bytes(question: Any = STREAM, version: str = "1.1") -> bytes:
    body = json.dumps(question).encode()
    return (
        f"POST /v1/chat/completions HTTP/{version}\r\nHost: x\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


@asynccontextmanager
async def raw(upstream: ScriptedUpstream, sent: bytes | None = None) -> AsyncIterator[Raw]:
    reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port, limit=1 << 24)
    try:
        writer.write(request_bytes() if sent is None else sent)
        yield Raw(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):  # the upstream's reset, which the test has looked at
            await writer.wait_closed()


def dechunk(body: bytes) -> list[bytes]:
    """The chunks of a complete chunked body."""
    chunks: list[bytes] = []
    while True:
        size, _, body = body.partition(b"\r\n")
        if int(size, 16) == 0:
            assert body == b"\r\n"
            return chunks
        chunks.append(body[: int(size, 16)])
        body = body[int(size, 16) + 2 :]


class TestAnswers:
    async def test_unscripted_it_echoes(
        self, upstream: ScriptedUpstream, client: aiohttp.ClientSession
    ) -> None:
        body = await body_of(client, upstream)
        assert deltas(body) == ["Grüß ", "dich, ", "Welt"]
        assert payloads(body)[-1] == "[DONE]"

    async def test_echo_understands_content_parts(
        self, upstream: ScriptedUpstream, client: aiohttp.ClientSession
    ) -> None:
        parts = [
            {"type": "text", "text": "a "},
            {"type": "image_url"},
            {"type": "text", "text": "b"},
        ]
        question = {"messages": [{"role": "user", "content": parts}], "stream": True}
        assert deltas(await body_of(client, upstream, question)) == ["a ", "b"]

    async def test_stream_byte_by_byte(self, upstream: ScriptedUpstream) -> None:
        upstream.script(Answer(tokens=["Hi", " ö"]))
        async with raw(upstream) as connection:
            head = await connection.head()
            body = await connection.until(b"0\r\n\r\n")

        def event(delta: str, finish: str = "null") -> bytes:
            return (
                'data: {"id":"chatcmpl-1","created":1700000000,"model":"gpt-x",'
                '"object":"chat.completion.chunk","choices":[{"index":0,"delta":'
                f'{delta},"logprobs":null,"finish_reason":{finish}}}]}}\n\n'
            ).encode()

        assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream")
        assert b"Transfer-Encoding: chunked\r\n" in head
        assert dechunk(body) == [
            event('{"role":"assistant","content":""}'),
            event('{"content":"Hi"}'),
            event('{"content":" ö"}'),
            event("{}", '"stop"'),
            b"data: [DONE]\n\n",
        ]

    async def test_whole(self, upstream: ScriptedUpstream, client: aiohttp.ClientSession) -> None:
        upstream.script(
            Answer(
                "Well then",
                reasoning="so so",
                alternatives=("Or not",),
                tool_calls=(ToolCall("look", '{"q":1}', id="c9"),),
                chunk_extra={"provider": "acme"},
                delta_extra={"refusal": None},
            )
        )
        answer = json.loads(await body_of(client, upstream, QUESTION))
        assert answer["object"] == "chat.completion"
        assert answer["model"] == "gpt-x"
        assert answer["provider"] == "acme"
        first, second = answer["choices"]
        assert first["finish_reason"] == "tool_calls"
        assert first["message"] == {
            "role": "assistant",
            "content": "Well then",
            "reasoning_content": "so so",
            "tool_calls": [
                {
                    "id": "c9",
                    "type": "function",
                    "function": {"name": "look", "arguments": '{"q":1}'},
                }
            ],
            "refusal": None,
        }
        assert (second["index"], second["message"]["content"]) == (1, "Or not")
        assert second["finish_reason"] == "stop"
        # 2 of reasoning, 2 + 2 of text, 1 + 3 of the tool call.
        assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 10, "total_tokens": 13}
        assert upstream.tokens_sent == 10

    async def test_choices_are_interleaved(
        self, upstream: ScriptedUpstream, client: aiohttp.ClientSession
    ) -> None:
        upstream.script(Answer("a b c", alternatives=("x y",)))
        body = await body_of(client, upstream)
        assert deltas(body) == ["a ", "b ", "c"]
        assert deltas(body, index=1) == ["x ", "y"]
        indices = [c["choices"][0]["index"] for c in payloads(body)[:-1]]
        assert indices == [0, 1, 0, 1, 0, 1, 0, 0, 1]

    @pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
    async def test_reasoning(
        self, upstream: ScriptedUpstream, client: aiohttp.ClientSession, name: Any
    ) -> None:
        upstream.script(Answer("Yes", reasoning=["hm ", "hm"], reasoning_field=name))
        body = await body_of(client, upstream)
        assert deltas(body, name) == ["hm ", "hm"]
        assert deltas(body) == ["Yes"]

    async def test_tool_calls(
        self, upstream: ScriptedUpstream, client: aiohttp.ClientSession
    ) -> None:
        calls = (ToolCall("a", '{"x": "ü"}', id="c1"), ToolCall("b", "{}", id="c2", pieces=1))
        upstream.script(Answer(tool_calls=calls))
        body = await body_of(client, upstream)
        parts = [part for parts in deltas(body, "tool_calls") for part in parts]
        opened = [(p["index"], p["id"], p["function"]["name"]) for p in parts if "id" in p]
        assert opened == [(0, "c1", "a"), (1, "c2", "b")]
        for index, call in enumerate(calls):
            pieces = [p["function"]["arguments"] for p in parts if p["index"] == index]
            assert len(pieces) == 1 + call.pieces
            assert "".join(pieces) == call.arguments
        assert payloads(body)[-2]["choices"][0]["finish_reason"] == "tool_calls"

    @pytest.mark.parametrize(
        ("setting", "asked", "shown"),
        [(None, True, True), (None, False, False), (True, False, True), (False, True, False)],
    )
    async def test_usage_chunk(
        self,
        upstream: ScriptedUpstream,
        client: aiohttp.ClientSession,
        setting: bool | None,
        asked: bool,
        shown: bool,
    ) -> None:
        usage = {"prompt_tokens": 7, "cost": 0.1}
        upstream.script(Answer("Yes", usage=usage, usage_chunk=setting))
        question = {**STREAM, "stream_options": {"include_usage": asked}}
        chunks = payloads(await body_of(client, upstream, question))
        if shown:
            assert (chunks[-2]["choices"], chunks[-2]["usage"]) == ([], usage)
            assert all(chunk["usage"] is None for chunk in chunks[:-2])
        else:
            assert all("usage" not in chunk for chunk in chunks[:-1])

    async def test_vendor_fields(
        self, upstream: ScriptedUpstream, client: aiohttp.ClientSession
    ) -> None:
        upstream.script(
            Answer(
                "Yes", chunk_extra={"provider": "acme"}, delta_extra={"x_p": [1, None]}, model="m2"
            )
        )
        for chunk in payloads(await body_of(client, upstream))[:-1]:
            assert (chunk["provider"], chunk["model"]) == ("acme", "m2")
            assert chunk["choices"][0]["delta"]["x_p"] == [1, None]

    async def test_json_where_a_stream_was_asked_for(
        self, upstream: ScriptedUpstream, client: aiohttp.ClientSession
    ) -> None:
        upstream.script(Answer("Yes", stream=False))
        async with client.post(chat_url(upstream), json=STREAM) as response:
            assert response.content_type == "application/json"
            assert (await response.json())["choices"][0]["message"]["content"] == "Yes"

    async def test_wrong_content_type(
        self, upstream: ScriptedUpstream, client: aiohttp.ClientSession
    ) -> None:
        upstream.script(Answer("Yes", content_type="text/html"))
        async with client.post(chat_url(upstream), json=STREAM) as response:
            assert response.content_type == "text/html"
            assert deltas(await response.read()) == ["Yes"]

    async def test_text_and_tokens_exclude_each_other(self) -> None:
        with pytest.raises(ValueError, match="not both"):
            Answer("a", tokens=["a"])


class TestScript:
    async def test_in_order_and_the_last_repeats(
        self, upstream: ScriptedUpstream, client: aiohttp.ClientSession
    ) -> None:
        upstream.script(Answer("one"), Answer("two"))
        got = [deltas(await body_of(client, upstream)) for _ in range(3)]
        assert got == [["one"], ["two"], ["two"]]
        upstream.script(Answer("new"))
        assert deltas(await body_of(client, upstream)) == ["new"]

    async def test_a_function_decides_by_the_request(
        self, upstream: ScriptedUpstream, client: aiohttp.ClientSession
    ) -> None:
        upstream.script(lambda request: Answer(request.model))
        assert deltas(await body_of(client, upstream)) == ["gpt-x"]

    def test_is_not_empty(self) -> None:
        with pytest.raises(ValueError, match="at least one"):
            ScriptedUpstream().script()

    async def test_requests_are_recorded(
        self, upstream: ScriptedUpstream, client: aiohttp.ClientSession
    ) -> None:
        awaited = asyncio.create_task(upstream.wait_request())
        headers = {"Authorization": "Bearer k", "X-Twice": "1"}
        async with client.post(chat_url(upstream) + "?a=1", json=STREAM, headers=headers) as answer:
            await answer.read()
        request = await awaited
        assert upstream.requests == [request]
        assert (request.number, request.method) == (1, "POST")
        assert (request.path, request.query) == ("/v1/chat/completions", "a=1")
        assert (request.headers["authorization"], request.headers["x-twice"]) == ("Bearer k", "1")
        assert request.json == STREAM
        assert json.loads(request.body) == STREAM
        assert await request.wait_ended() is Ending.COMPLETED
        assert request.tokens_sent == 3

    async def test_each_wait_returns_the_next_request(
        self, upstream: ScriptedUpstream, client: aiohttp.ClientSession
    ) -> None:
        for _ in range(2):
            await body_of(client, upstream)
        assert [(await upstream.wait_request()).number for _ in range(2)] == [1, 2]

    async def test_models_and_unknown_paths(self, client: aiohttp.ClientSession) -> None:
        async with ScriptedUpstream(models=("a", "b")) as upstream:
            async with client.get(upstream.base_url + "/models") as response:
                listed = await response.json()
            assert [model["id"] for model in listed["data"]] == ["a", "b"]
            async with client.get(upstream.base_url + "/nothing") as response:
                assert response.status == 404

    async def test_api_key(self, client: aiohttp.ClientSession) -> None:
        async with ScriptedUpstream(api_key="k1") as upstream:
            for key, status in (("k1", 200), ("k2", 401)):
                headers = {"Authorization": f"Bearer {key}"}
                async with client.post(chat_url(upstream), json=STREAM, headers=headers) as answer:
                    assert answer.status == status

    async def test_a_body_that_is_not_json(
        self, upstream: ScriptedUpstream, client: aiohttp.ClientSession
    ) -> None:
        async with client.post(chat_url(upstream), data=b"{") as response:
            assert response.status == 400
        assert upstream.requests[0].json is None


class TestPace:
    async def test_gated_tokens_go_out_one_by_one(
        self, upstream: ScriptedUpstream, client: aiohttp.ClientSession
    ) -> None:
        upstream.script(Answer("a b c", pace=Pace(gated=True)))
        async with client.post(chat_url(upstream), json=STREAM) as response:
            lines = response.content
            assert b'"role"' in await lines.readuntil(b"\n\n")
            assert upstream.tokens_sent == 0
            for n, text in enumerate([b"a ", b"b ", b"c"], 1):
                upstream.release()
                assert b'"content":"%b"' % text in await lines.readuntil(b"\n\n")
                assert upstream.tokens_sent == n
            request = await upstream.wait_request()
            assert request.ending is None
            upstream.release()
            assert b"[DONE]" in await response.read()
            assert await request.wait_ended() is Ending.COMPLETED

    async def test_releases_are_kept(
        self, upstream: ScriptedUpstream, client: aiohttp.ClientSession
    ) -> None:
        upstream.script(Answer("a b c", pace=Pace(gated=True)))
        upstream.release(4)
        assert deltas(await body_of(client, upstream)) == ["a ", "b ", "c"]

    async def test_a_release_serves_who_waits_first_and_one_request_can_be_released_alone(
        self, upstream: ScriptedUpstream
    ) -> None:
        upstream.script(Answer("a b", pace=Pace(gated=True)))
        async with raw(upstream) as one, raw(upstream) as two:
            await one.head()
            await two.head()
            first, second = [await upstream.wait_request() for _ in range(2)]
            second.release(1)
            await second.wait_tokens(1)
            assert (first.tokens_sent, second.tokens_sent) == (0, 1)
            upstream.release(2)
            assert (first.tokens_sent, second.tokens_sent) == (1, 2)
            second.release(5)
            assert await second.wait_ended() is Ending.COMPLETED
            assert first.ending is None
        assert await first.wait_ended() is Ending.CLIENT_CLOSED
        # Who has left takes no release from those to come.
        upstream.release(1)
        async with raw(upstream):
            third = await upstream.wait_request()
            assert (first.tokens_sent, third.tokens_sent) == (1, 1)

    async def test_a_request_uses_up_its_own_releases(self, upstream: ScriptedUpstream) -> None:
        upstream.script(Answer("a b c d", pace=Pace(gated=True)))
        async with raw(upstream):
            request = await upstream.wait_request()
            request.release(2)
            assert request.tokens_sent == 2
            request.release(1)
            assert (request.tokens_sent, request.ending) == (3, None)

    async def test_a_stall_takes_no_release(self, upstream: ScriptedUpstream) -> None:
        gated = Pace(gated=True)
        upstream.script(
            Answer("a b", pace=gated, faults=(Stall(after=1),)), Answer("c", pace=gated)
        )
        async with raw(upstream) as one, raw(upstream, b"") as two:
            await one.head()
            upstream.release(2)
            two.writer.write(request_bytes())
            first, second = [await upstream.wait_request() for _ in range(2)]
            assert (first.tokens_sent, second.tokens_sent) == (1, 1)

    async def test_delayed_answers_arrive_whole(
        self, upstream: ScriptedUpstream, client: aiohttp.ClientSession
    ) -> None:
        upstream.script(Answer("a b c", pace=Pace(delay_s=0.002)))
        bodies = await asyncio.gather(*(body_of(client, upstream) for _ in range(20)))
        assert [deltas(body) for body in bodies] == [["a ", "b ", "c"]] * 20
        assert upstream.tokens_sent == 60

    async def test_a_delay_is_waited_for(self, upstream: ScriptedUpstream) -> None:
        upstream.script(Answer("a b", pace=Pace(delay_s=3600)))
        async with raw(upstream) as connection:
            await connection.head()
            request = await upstream.wait_request()
            assert (request.tokens_sent, request.ending) == (0, None)

    @pytest.mark.parametrize(
        "wrong", [{"delay_s": -1}, {"drip_s": -1}, {"gated": True, "delay_s": 1}]
    )
    def test_nonsense_is_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"negative|gated"):
            Pace(**wrong)


class TestWire:
    @pytest.mark.parametrize(
        "wire",
        [
            Wire(newline=b"\r"),
            Wire(newline=b"\r\n"),
            Wire(space=False),
            Wire(bom=True),
            Wire(comment="OPENROUTER PROCESSING"),
            Wire(multiline=True),
            Wire(ascii=True),
            Wire(piece_bytes=1),
            Wire(piece_bytes=7, newline=b"\r\n", comment="x", multiline=True, bom=True),
            Wire(split_characters=True),
            Wire(chunked=False),
            Wire(chunked=False, piece_bytes=3),
        ],
        ids=str,
    )
    async def test_every_wire_means_the_same(
        self, upstream: ScriptedUpstream, client: aiohttp.ClientSession, wire: Wire
    ) -> None:
        text = "Grüß dich,\u2028 \U0001f94c Welt"
        upstream.script(Answer(text, wire=wire))
        body = await body_of(client, upstream)
        assert "".join(deltas(body)) == text
        assert payloads(body)[-1] == "[DONE]"
        assert (await upstream.wait_request()).ending is Ending.COMPLETED

    async def test_bytes(self, upstream: ScriptedUpstream, client: aiohttp.ClientSession) -> None:
        async def with_wire(wire: Wire) -> bytes:
            upstream.script(Answer("ü", wire=wire))
            return await body_of(client, upstream)

        assert b"\n" not in await with_wire(Wire(newline=b"\r"))
        crlf = await with_wire(Wire(newline=b"\r\n"))
        assert crlf.count(b"\n") == crlf.count(b"\r\n") == 8
        assert (await with_wire(Wire(space=False))).startswith(b'data:{"id"')
        assert (await with_wire(Wire(bom=True))).startswith(b"\xef\xbb\xbfdata: ")
        assert (await with_wire(Wire(comment="hm"))).count(b": hm\ndata: ") == 4
        assert b"\ndata:  " in await with_wire(Wire(multiline=True))
        assert b'"content":"\\u00fc"' in await with_wire(Wire(ascii=True))
        assert (await with_wire(Wire(done_blank_line=False))).endswith(b"}\n\ndata: [DONE]\n")

    async def test_pieces_are_chunks_of_their_own(self, upstream: ScriptedUpstream) -> None:
        upstream.script(Answer("ü", wire=Wire(piece_bytes=1)))
        async with raw(upstream) as connection:
            await connection.head()
            chunks = dechunk(await connection.until(b"0\r\n\r\n"))
        assert {len(chunk) for chunk in chunks} == {1}
        assert "ü".encode() in b"".join(chunks)

    async def test_characters_are_cut(self, upstream: ScriptedUpstream) -> None:
        upstream.script(Answer("€", wire=Wire(split_characters=True)))
        async with raw(upstream) as connection:
            await connection.head()
            chunks = dechunk(await connection.until(b"0\r\n\r\n"))
        at = next(i for i, chunk in enumerate(chunks) if chunk.endswith(b"\xe2"))
        assert chunks[at + 1] == b"\x82"
        assert chunks[at + 2].startswith(b'\xac"')

    async def test_a_drip_is_waited_for(self, upstream: ScriptedUpstream) -> None:
        upstream.script(Answer("a", pace=Pace(drip_s=3600), wire=Wire(piece_bytes=2)))
        async with raw(upstream) as connection:
            await connection.head()
            assert await connection.reader.readexactly(7) == b"2\r\nda\r\n"
            assert (await upstream.wait_request()).ending is None

    async def test_a_drip_arrives(
        self, upstream: ScriptedUpstream, client: aiohttp.ClientSession
    ) -> None:
        upstream.script(Answer("a", pace=Pace(drip_s=0.001), wire=Wire(piece_bytes=100)))
        assert deltas(await body_of(client, upstream)) == ["a"]

    @pytest.mark.parametrize("wrong", [{"newline": b"\n\n"}, {"piece_bytes": -1}])
    def test_nonsense_is_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"newline|piece_bytes"):
            Wire(**wrong)


async def ending_after(
    upstream: ScriptedUpstream, fault: Fault, *, wire: Wire | None = None, question: Any = STREAM
) -> tuple[bytes, Exception | None, Ending | None]:
    """Let a gated answer run into a fault, reading all the while.

    Returns the body's bytes, the socket's error, and how the upstream says it ended.
    """
    upstream.script(Answer("a b c d", faults=(fault,), pace=Pace(gated=True), wire=wire or Wire()))
    async with raw(upstream, request_bytes(question)) as connection:
        request = await upstream.wait_request()
        got, error = b"", None
        try:
            request.release(20)
            while data := await connection.reader.read(1 << 16):
                got += data
        except ConnectionError as caught:
            error = caught
        return got.partition(b"\r\n\r\n")[2], error, request.ending


class TestFaults:
    async def test_reset(self, upstream: ScriptedUpstream) -> None:
        upstream.script(Answer("a b c", faults=(Reset(after=2),), pace=Pace(gated=True)))
        async with raw(upstream) as connection:
            request = await upstream.wait_request()
            upstream.release(2)
            await connection.until(b'"b "')
            assert (request.tokens_sent, request.ending) == (2, None)
            upstream.release()
            with pytest.raises(ConnectionResetError):
                await connection.rest()
        assert await request.wait_ended() is Ending.CUT
        assert upstream.closed_by_client == 0

    async def test_clean_close_without_done(
        self, upstream: ScriptedUpstream, client: aiohttp.ClientSession
    ) -> None:
        upstream.script(Answer("a b c", faults=(Close(after=2),)))
        body = await body_of(client, upstream)
        assert deltas(body) == ["a ", "b "]
        assert payloads(body)[-1] != "[DONE]"
        assert b'"stop"' not in body
        assert (await upstream.wait_request()).ending is Ending.CUT

    async def test_close_within_the_chunked_body(self, upstream: ScriptedUpstream) -> None:
        body, error, ending = await ending_after(upstream, Close(after=2, clean=False))
        assert (error, ending) == (None, Ending.CUT)
        assert body.endswith(b"}\n\n\r\n")
        assert body.count(b'"content":"b "') == 1
        assert b'"content":"c "' not in body

    @pytest.mark.parametrize("clean", [True, False])
    async def test_close_of_a_bare_body(self, upstream: ScriptedUpstream, clean: bool) -> None:
        body, error, ending = await ending_after(
            upstream, Close(after=1, clean=clean), wire=Wire(chunked=False)
        )
        assert (error, ending) == (None, Ending.CUT)
        assert deltas(body) == ["a "]
        assert body.endswith(b"}\n\n")

    async def test_truncate(self, upstream: ScriptedUpstream) -> None:
        body, error, ending = await ending_after(upstream, Truncate(after=1))
        assert (error, ending) == (None, Ending.CUT)
        *_, announced, half = body.rsplit(b"\r\n", 2)
        assert len(half) == int(announced, 16) // 2
        assert half.startswith(b'data: {"id"')

    async def test_truncate_fails_a_real_client(
        self, upstream: ScriptedUpstream, client: aiohttp.ClientSession
    ) -> None:
        upstream.script(Answer("a b", faults=(Truncate(after=1),)))
        with pytest.raises(aiohttp.ClientPayloadError):
            await body_of(client, upstream)

    async def test_stall_until_the_client_leaves(self, upstream: ScriptedUpstream) -> None:
        upstream.script(Answer("a b c", faults=(Stall(after=1),)))
        async with raw(upstream) as connection:
            await connection.until(b'"a "')
            request = await upstream.wait_request()
            assert (request.tokens_sent, request.ending) == (1, None)
        assert await request.wait_ended() is Ending.CLIENT_CLOSED
        await upstream.wait_closed()
        assert upstream.open_connections == 0

    @pytest.mark.parametrize("done", [True, False])
    async def test_error_in_the_stream(
        self, upstream: ScriptedUpstream, client: aiohttp.ClientSession, done: bool
    ) -> None:
        upstream.script(Answer("a b", faults=(StreamError(1, {"message": "no"}, done=done),)))
        chunks = payloads(await body_of(client, upstream))
        if done:
            assert chunks.pop() == "[DONE]"
        assert chunks[-1] == {"error": {"message": "no"}}
        assert chunks[-2]["choices"][0]["delta"] == {"content": "a "}
        assert (await upstream.wait_request()).ending is Ending.COMPLETED

    async def test_a_line_that_is_not_json(
        self, upstream: ScriptedUpstream, client: aiohttp.ClientSession
    ) -> None:
        upstream.script(Answer("a b", faults=(Insert(after=1),)))
        data = [frame.data for frame in Parser().feed(await body_of(client, upstream))]
        at = data.index(b"{not json")
        assert b'"a "' in data[at - 1]
        assert b'"b"' in data[at + 1]
        assert data[-1] == b"[DONE]"

    @pytest.mark.parametrize("size", [1000, 3 << 20])
    async def test_huge_line(
        self, upstream: ScriptedUpstream, client: aiohttp.ClientSession, size: int
    ) -> None:
        upstream.script(Answer("a b", faults=(HugeLine(after=2, size=size),)))
        body = await body_of(client, upstream)
        assert max(len(line) for line in body.split(b"\n")) == size
        assert len(Parser(max_event_bytes=4 << 20).feed(body)) == 6

    async def test_several_faults_in_one_answer(
        self, upstream: ScriptedUpstream, client: aiohttp.ClientSession
    ) -> None:
        faults = (Close(after=3), Insert(after=1), Insert(after=1, data=b": x\n"), Insert(after=0))
        upstream.script(Answer("a b c d", faults=faults))
        body = await body_of(client, upstream)
        assert body.count(b"{not json") == 2
        assert b": x\ndata: " in body
        assert body.endswith(b"}\n\n")
        assert b'"d"' not in body

    async def test_after_the_last_token_is_before_the_finish_reason(
        self, upstream: ScriptedUpstream, client: aiohttp.ClientSession
    ) -> None:
        upstream.script(Answer("a b", faults=(Close(after=99),)))
        body = await body_of(client, upstream)
        assert deltas(body) == ["a ", "b"]
        assert b'"stop"' not in body

    @pytest.mark.parametrize("fault", [Close(), Truncate()], ids=str)
    async def test_a_whole_answer_is_cut_in_its_body(
        self, upstream: ScriptedUpstream, fault: Fault
    ) -> None:
        body, error, ending = await ending_after(upstream, fault, question=QUESTION)
        assert (error, ending) == (None, Ending.CUT)
        assert body.startswith(b'{"id":"chatcmpl-1"')
        with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
            json.loads(body)

    async def test_a_whole_answer_is_reset(self, upstream: ScriptedUpstream) -> None:
        _, error, ending = await ending_after(upstream, Reset(), question=QUESTION)
        assert isinstance(error, ConnectionResetError)
        assert ending is Ending.CUT


class TestOtherBehaviours:
    @pytest.mark.parametrize("code", [400, 401, 404, 429, 500, 503, 418])
    async def test_status(
        self, upstream: ScriptedUpstream, client: aiohttp.ClientSession, code: int
    ) -> None:
        upstream.script(Status(code))
        async with client.post(chat_url(upstream), json=STREAM) as response:
            assert response.status == code
            error = (await response.json())["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"]

    @pytest.mark.parametrize(("given", "sent"), [(2, "2"), (0.5, "0.5"), ("soon", "soon")])
    async def test_retry_after(
        self, upstream: ScriptedUpstream, client: aiohttp.ClientSession, given: Any, sent: str
    ) -> None:
        upstream.script(Status(429, "slow down", retry_after=given, headers={"X-A": "b"}))
        async with client.post(chat_url(upstream), json=STREAM) as response:
            assert (response.headers["Retry-After"], response.headers["X-A"]) == (sent, "b")
            assert (await response.json())["error"]["message"] == "slow down"

    async def test_html(self, upstream: ScriptedUpstream, client: aiohttp.ClientSession) -> None:
        upstream.script(Status(502, html=True))
        async with client.post(chat_url(upstream), json=STREAM) as response:
            assert (response.status, response.content_type) == (502, "text/html")
            assert "<html>" in await response.text()

    async def test_silence_before_the_headers(self, upstream: ScriptedUpstream) -> None:
        upstream.script(Silent())
        async with raw(upstream) as connection:
            request = await upstream.wait_request()
            assert request.ending is None
            await upstream.stop()
            assert await connection.rest() == b""

    async def test_a_client_that_leaves_in_the_silence_is_noticed(
        self, upstream: ScriptedUpstream
    ) -> None:
        upstream.script(Silent())
        async with raw(upstream):
            request = await upstream.wait_request()
        assert await request.wait_ended() is Ending.CLIENT_CLOSED
        await upstream.wait_closed()

    async def test_silence_after_the_headers(self, upstream: ScriptedUpstream) -> None:
        upstream.script(Silent(headers=True))
        async with raw(upstream) as connection:
            assert b"text/event-stream" in await connection.head()
            request = await upstream.wait_request()
        assert await request.wait_ended() is Ending.CLIENT_CLOSED

    async def test_refuse(self, upstream: ScriptedUpstream) -> None:
        upstream.script(Refuse())
        async with raw(upstream) as connection:
            with pytest.raises(ConnectionResetError):
                await connection.rest()
        assert (await upstream.wait_request()).ending is Ending.CUT


class TestConnections:
    async def test_they_are_kept_alive_and_counted(
        self, upstream: ScriptedUpstream, client: aiohttp.ClientSession
    ) -> None:
        for _ in range(3):
            await body_of(client, upstream)
            await body_of(client, upstream, QUESTION)
        assert (upstream.connections_made, upstream.open_connections) == (1, 1)
        await client.close()
        await upstream.wait_closed()
        assert (upstream.open_connections, upstream.closed_by_client) == (0, 1)

    async def test_a_client_that_resets_is_noticed(self, upstream: ScriptedUpstream) -> None:
        upstream.script(Silent())
        async with raw(upstream) as connection:
            request = await upstream.wait_request()
            connection.writer.transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
            )
            connection.writer.transport.abort()
            assert await request.wait_ended() is Ending.CLIENT_CLOSED

    async def test_a_client_that_half_closes_is_noticed_behind_a_full_socket(
        self, upstream: ScriptedUpstream
    ) -> None:
        upstream.script(Answer(tokens=["x" * 50_000] * 2000))
        async with raw(upstream) as connection:
            request = await upstream.wait_request()
            connection.writer.write_eof()
            assert await request.wait_ended() is Ending.CLIENT_CLOSED

    async def test_a_client_that_does_not_read_stops_the_answer(
        self, upstream: ScriptedUpstream
    ) -> None:
        upstream.script(Answer(tokens=["x" * 50_000] * 2000))
        async with raw(upstream) as connection:
            await connection.head()
            request = await upstream.wait_request()
            stuck = request.tokens_sent
            assert 0 < stuck < 2000
            await connection.reader.readuntil(b"x" * 50_000)
        assert await request.wait_ended() is Ending.CLIENT_CLOSED
        assert request.tokens_sent < 2000

    async def test_a_slow_reader_gets_everything(
        self, upstream: ScriptedUpstream, client: aiohttp.ClientSession
    ) -> None:
        upstream.script(Answer(tokens=["x" * 50_000] * 200))
        async with client.post(chat_url(upstream), json=STREAM) as response:
            request = await upstream.wait_request()
            assert request.tokens_sent < 200
            body = await response.read()
        assert len(deltas(body)) == 200

    async def test_http_1_0_gets_a_bare_body(self, upstream: ScriptedUpstream) -> None:
        upstream.script(Answer("a"))
        async with raw(upstream, request_bytes(version="1.0")) as connection:
            assert b"chunked" not in await connection.head()
            assert deltas(await connection.rest()) == ["a"]
        assert (await upstream.wait_request()).ending is Ending.COMPLETED
        assert upstream.closed_by_client == 0

    async def test_connection_close_is_obeyed(self, upstream: ScriptedUpstream) -> None:
        sent = request_bytes().replace(b"Host: x", b"Host: x\r\nConnection: close")
        async with raw(upstream, sent) as connection:
            assert (await connection.rest()).endswith(b"0\r\n\r\n")

    async def test_pipelined_requests_are_answered_in_order(
        self, upstream: ScriptedUpstream
    ) -> None:
        upstream.script(Answer("one"), Answer("two"))
        async with raw(upstream, request_bytes() * 2) as connection:
            assert b'"one"' in await connection.until(b"0\r\n\r\n")
            assert b'"two"' in await connection.until(b"0\r\n\r\n")

    async def test_a_request_in_single_bytes(self, upstream: ScriptedUpstream) -> None:
        async with raw(upstream, b"") as connection:
            for byte in request_bytes():
                connection.writer.write(bytes([byte]))
                await asyncio.sleep(0)
            await connection.until(b"[DONE]")

    async def test_a_chunked_request_body(
        self, upstream: ScriptedUpstream, client: aiohttp.ClientSession
    ) -> None:
        async def parts() -> AsyncIterator[bytes]:
            text = json.dumps(STREAM).encode()
            yield text[:10]
            yield text[10:]

        async with client.post(chat_url(upstream), data=parts()) as response:
            assert deltas(await response.read()) == ["Grüß ", "dich, ", "Welt"]

    async def test_expect_100_continue(
        self, upstream: ScriptedUpstream, client: aiohttp.ClientSession
    ) -> None:
        async with client.post(chat_url(upstream), json=STREAM, expect100=True) as response:
            assert response.status == 200
            assert deltas(await response.read()) == ["Grüß ", "dich, ", "Welt"]

    async def test_the_client_is_told_once_to_continue(self, upstream: ScriptedUpstream) -> None:
        head, _, body = request_bytes().partition(b"\r\n\r\n")
        async with raw(upstream, head + b"\r\nExpect: 100-continue\r\n\r\n") as connection:
            assert await connection.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
            for byte in body:
                connection.writer.write(bytes([byte]))
                await connection.writer.drain()
            assert (await connection.head()).startswith(b"HTTP/1.1 200 ")

    @pytest.mark.parametrize(
        "nonsense",
        [
            b"nonsense\r\n\r\n",
            b"GET / HTTP/2\r\n\r\n",
            b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"GET / HTTP/1.1\r\nX: " + b"x" * (65 << 10),
        ],
        ids=range(6),
    )
    async def test_nonsense_gets_400(self, upstream: ScriptedUpstream, nonsense: bytes) -> None:
        async with raw(upstream, nonsense) as connection:
            assert (await connection.head()).startswith(b"HTTP/1.1 400 ")

    async def test_stop_cuts_and_start_takes_the_same_port(
        self, upstream: ScriptedUpstream
    ) -> None:
        upstream.script(Silent(), Echo())
        port = upstream.port
        async with raw(upstream) as connection:
            request = await upstream.wait_request()
            await upstream.stop()
            assert request.ending is Ending.CUT
            assert upstream.open_connections == 0
            assert await connection.rest() == b""
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        await upstream.start()
        assert upstream.port == port
        async with raw(upstream) as connection:
            await connection.until(b"[DONE]")

    async def test_start_twice_is_refused(self, upstream: ScriptedUpstream) -> None:
        with pytest.raises(RuntimeError, match="running"):
            await upstream.start()

    async def test_stop_twice_is_harmless(self) -> None:
        upstream = ScriptedUpstream()
        await upstream.stop()
        await upstream.start()
        await upstream.stop()
        await upstream.stop()


class TestCommand:
    async def test_serves_until_told_to_stop(self, client: aiohttp.ClientSession) -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "fairlead.testing.upstream", "--port", "0"),
            *("--tokens", "3", "--delay-ms", "1"),
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            base_url = (await process.stdout.readline()).decode().strip()
            async with client.post(f"{base_url}/chat/completions", json=STREAM) as response:
                assert deltas(await response.read()) == ["word0 ", "word1 ", "word2 "]
        finally:
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
