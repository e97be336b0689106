"""Whatever is sent to the OpenAI dialect is answered, or refused in OpenAI's shape; never a 5xx."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.engine.models import Model
from fairlead.errors import BadRequest
from fairlead.events.pieces import Piece
from fairlead.ports.provider import GenerationRequest
from fairlead.providers.generator import GeneratorProvider
from fairlead.server.app import build_app
from fairlead.server.composition import compose
from fairlead.server.config import Config
from fairlead.server.openai_chat_request import asked
from fairlead.server.tables.upstream import Upstream
from fairlead.testing.upstream import ScriptedUpstream

Post = Callable[..., httpx.Response]

PICTURE = "data:image/png;base64,iVBORw0KGgo="

_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["user", "text", "image_url", PICTURE, "m-1", "\x00", "\u2028", "😀"])
)
_json = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)

_BODY: dict[str, Any] = {
    "model": "m-1",
    "stream": False,
    "stream_options": {"include_usage": True},
    "n": 1,
    "temperature": 0.5,
    "stop": ["x"],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
    "messages": [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": PICTURE}},
                {
                    "type": "file",
                    "file": {"filename": "a.txt", "file_data": "data:text/plain;base64,YQ=="},
                },
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
            ],
        },
        {"role": "tool", "tool_call_id": "c", "content": "18"},
        {"role": "user", "content": "And now?"},
    ],
}


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found = [path]
    for key, inner in items:
        found.append((*path, key))
        if isinstance(inner, dict | list):
            found += _places(inner, (*path, key))[1:]
    return found


@st.composite
def disturbed(draw: st.DrawFn, right: dict[str, Any]) -> Any:
    """A right body with some places that are not: replaced, removed, or with more beside them."""
    body = json.loads(json.dumps(right))
    places = _places(right)
    body["model"] = draw(st.sampled_from(["m-1", "echo", ""]))
    for _ in range(draw(st.integers(0, 3))):
        path = draw(st.sampled_from(places))
        if not path:
            continue
        at: Any = body
        try:
            for key in path[:-1]:
                at = at[key]
            match draw(st.sampled_from(["replace", "remove", "add"])):
                case "replace":
                    at[path[-1]] = draw(_json)
                case "remove":
                    del at[path[-1]]
                case "add" if isinstance(at, dict):
                    at[draw(st.text(max_size=5))] = draw(_json)
        except (KeyError, IndexError, TypeError):
            pass  # another change has been here before
    return body if draw(st.integers(0, 20)) else draw(_json)


def bodies() -> st.SearchStrategy[Any]:
    return disturbed(_BODY)


@given(st.binary(max_size=60) | bodies().map(lambda body: json.dumps(body).encode()))
@settings(max_examples=400, deadline=None)
def test_a_body_is_a_question_or_a_fault_of_the_caller(data: bytes) -> None:
    try:
        made = asked(data)
    except BadRequest:
        return
    assert made.ask.turns
    assert made.ask.vendor is not None
    json.loads(made.ask.vendor.body)


# -- the whole server ------------------------------------------------------------------------------


async def _echo(request: GenerationRequest) -> AsyncGenerator[Piece, None]:
    yield request.turns[-1].text


@pytest.fixture(scope="module")
def post(tmp_path_factory: pytest.TempPathFactory) -> Generator[Post]:
    """Posts to a server that has an upstream, which speaks the dialect, and an agent, which does
    not."""
    folder: Path = tmp_path_factory.mktemp("fuzz")
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()

        async def start() -> httpx.AsyncClient:
            upstream = await stack.enter_async_context(ScriptedUpstream())
            config = Config(
                data_dir=folder,
                durability="memory",
                knowledge=False,
                max_body_bytes=100_000,
                upstreams=(
                    Upstream(name="up", base_url=upstream.base_url, models=("m-1",), files=True),
                ),
            )
            echo = Model("echo", GeneratorProvider("echo", _echo, clock=lambda: 0))
            system = await stack.enter_async_context(compose(config, own=[echo]))
            transport = httpx.ASGITransport(build_app(system), raise_app_exceptions=False)
            return await stack.enter_async_context(
                httpx.AsyncClient(transport=transport, base_url="http://fairlead")
            )

        client = runner.run(start())

        def send(
            data: bytes,
            path: str = "/v1/chat/completions",
            method: str = "POST",
            params: dict[str, str] | None = None,
            **more: str,
        ) -> httpx.Response:
            headers = {"content-type": "application/json"} | more
            return runner.run(
                client.request(method, path, content=data, headers=headers, params=params)
            )

        yield send
        runner.run(stack.aclose())


def refused(response: httpx.Response) -> dict[str, Any]:
    """The error of a response, after making sure that it is one in OpenAI's shape."""
    assert 400 <= response.status_code < 500, response.text
    assert response.headers["content-type"].startswith("application/json")
    (error,) = response.json().values()
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["message"]
    assert isinstance(error["type"], str)
    assert isinstance(error["code"], str)
    assert error["param"] is None or isinstance(error["param"], str)
    found: dict[str, Any] = error
    return found


@given(body=bodies())
@settings(max_examples=150, deadline=None)
def test_whatever_is_asked_is_answered_or_refused(post: Post, body: Any) -> None:
    response = post(json.dumps(body).encode())
    if response.status_code != 200:
        refused(response)
    elif response.headers["content-type"] == "application/json; charset=utf-8":
        assert response.json()["object"] == "chat.completion"
    else:
        assert response.text.rstrip().endswith("data: [DONE]")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/embeddings"])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b"\xff\xfe",
        b'{"messages": [' + b"[" * 5000 + b"]" * 5000 + b"]}",
        b'{"x": ' + b'{"a":' * 20000 + b"1" + b"}" * 20000 + b', "messages": [], "input": "a"}',
        b'{"messages": [{"role": "user", "content": "\\ud800"}], "input": "\\ud800"}',
        b'{"n": 1e999, "messages": [{"role": "user", "content": "x"}], "input": []}',
        b'{"n": ' + b"9" * 5000 + b', "messages": [{"role": "user", "content": "x"}], "input": 3}',
        b'{"messages": [{"role": "user", "content": "' + b"x" * 200_000 + b'"}], "input": ""}',
    ],
)
def test_what_is_no_question_is_refused(post: Post, path: str, data: bytes) -> None:
    refused(post(data, path))


def test_faults_of_the_request_itself_are_in_the_same_shape(post: Post) -> None:
    assert refused(post(b"{}", **{"content-type": "text/plain"}))["code"] == "bad_request"
    good = json.dumps({"messages": [{"role": "user", "content": "x"}]}).encode()
    assert refused(post(good, **{"idempotency-key": "x" * 200}))["code"] == "bad_request"
    assert refused(post(good, **{"last-event-id": "nonsense"}))["code"] == "bad_position"
    assert refused(post(good, **{"fairlead-orphan-window": "soon"}))["code"] == "bad_request"
    assert refused(post(good, **{"fairlead-orphan-window": "nan"}))["code"] == "bad_request"
    refused(post(good, "/v1/none"))
    many = json.dumps({"messages": [{"role": "user", "content": "x"}] * 10_001}).encode()
    refused(post(many))
    deaf = {"model": "echo", "messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}
    assert refused(post(json.dumps(deaf).encode()))["code"] == "unsupported_attachment"
