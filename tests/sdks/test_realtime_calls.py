"""Realtime sessions over WebRTC: from Chromium, and by OpenAI's SDK."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from openai import APIStatusError, AsyncOpenAI, BadRequestError, NotFoundError, RateLimitError

from fairlead.testing.upstream import Answer, Ending, Pace, ScriptedUpstream
from tests.sdks.serving import AT_ONCE, KEY, OTHER_KEY, serving
from tests.support.node import Script
from tests.support.phone import Phone, message
from tests.support.server import ServerProcess

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXT = "Hello there, how are you?"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(
    running: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[ServerProcess]:
    models = ["m-1"]
    upstream = {"name": "scripted", "base_url": running.base_url, "models": models, **AT_ONCE}
    async with serving(tmp_path_factory.mktemp("calls"), upstream) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium(server: ServerProcess) -> AsyncGenerator[Script]:
    async with Script("realtime-call.mjs", url=server.url) as script:
        yield script


async def act(chromium: Script, what: str, /, **fields: Any) -> dict[str, Any]:
    await chromium.send(act=what, **fields)
    return await chromium.next("done", act=what)


async def ask(chromium: Script, name: str, text: str) -> dict[str, Any]:
    await act(chromium, "send", name=name, event=message(text))
    await act(chromium, "send", name=name, event={"type": "response.create"})
    return await act(chromium, "until", name=name, types=["response.done", "error", "closed"])


async def test_a_session_in_chromium(
    chromium: Script, server: ServerProcess, upstream: ScriptedUpstream
) -> None:
    opened = await act(chromium, "open", name="a", url=server.url, key=KEY, model="m-1", audio=True)
    assert opened["status"] == 201, opened
    assert opened["location"].startswith("/v1/realtime/calls/rtc_")
    created = (await act(chromium, "until", name="a", types=["session.created"]))["last"]
    assert created["session"]["model"] == "m-1"
    for text in (TEXT, "x" * 100_000, "Fine."):
        upstream.script(Answer(tokens=(text[:9], text[9:])))
        made = await ask(chromium, "a", "Hi")
        assert made["text"] == text
        assert made["last"]["response"]["status"] == "completed"
    await act(chromium, "send", name="a", event="{")
    told = await act(chromium, "until", name="a", types=["error"])
    assert told["last"]["error"]["type"] == "invalid_request_error"
    hung = await act(chromium, "hangup", name="a", key=KEY)
    assert hung["status"] == 200
    await act(chromium, "until", name="a", types=["closed"])
    assert (await act(chromium, "hangup", name="a", key=KEY))["status"] == 404


async def test_settings_come_with_the_offer_or_with_the_secret(
    chromium: Script, server: ServerProcess, client: AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    session: Any = {"type": "realtime", "model": "m-1", "instructions": "Be kind."}
    made = await client.realtime.client_secrets.create(session=session)
    for name, key, given in (("form", KEY, session), ("secret", made.value, None)):
        opened = await act(chromium, "open", name=name, url=server.url, key=key, session=given)
        assert opened["status"] == 201, opened
        created = (await act(chromium, "until", name=name, types=["session.created"]))["last"]
        assert created["session"]["instructions"] == "Be kind."
        assert (await ask(chromium, name, "Hi"))["text"] == TEXT
        assert upstream.requests[-1].json["messages"][0]["content"] == "Be kind."
        await act(chromium, "leave", name=name)


async def test_cancelled_and_left(
    chromium: Script, server: ServerProcess, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(TEXT, pace=Pace(gated=True)))
    before = len(upstream.requests)
    await act(chromium, "open", name="c", url=server.url, key=KEY)
    await act(chromium, "until", name="c", types=["session.created"])
    await act(chromium, "send", name="c", event=message("Hi"))
    await act(chromium, "send", name="c", event={"type": "response.create"})
    request = await upstream.wait_requests(before + 1)
    request.release(2)
    await act(chromium, "until", name="c", types=["response.output_text.delta"])
    await act(chromium, "send", name="c", event={"type": "response.cancel"})
    done = await act(chromium, "until", name="c", types=["response.done"])
    assert done["last"]["response"]["status"] == "cancelled"
    assert await request.wait_ended() is Ending.CLIENT_CLOSED
    await act(chromium, "leave", name="c")


async def test_by_the_sdk(client: AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    session: Any = {"type": "realtime", "model": "m-1"}
    async with Phone() as phone:
        made = await client.realtime.calls.create(sdp=await phone.offer(), session=session)
        call = made.response.headers["location"].rpartition("/")[2]
        await phone.answered(made.text)
        await phone.until("session.created")
        phone.say("Hi")
        events = await phone.until("response.done")
        deltas = [each["delta"] for each in events if each["type"].endswith("text.delta")]
        assert "".join(deltas) == TEXT
        async with AsyncOpenAI(base_url=client.base_url, api_key=OTHER_KEY) as other:
            with pytest.raises(NotFoundError):
                await other.realtime.calls.hangup(call)
        await client.realtime.calls.hangup(call)
        await phone.until("closed")


@pytest.mark.parametrize(
    "sdp",
    [
        "",
        "nonsense",
        "v=0\r\n",
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n",
        "v=0\r\nm=\r\n",
        "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n",
        "x" * 60_000,
    ],
)
async def test_offers_that_are_none(client: AsyncOpenAI, sdp: str) -> None:
    with pytest.raises(BadRequestError):
        await client.realtime.calls.create(sdp=sdp)


async def test_an_offer_has_its_size(client: AsyncOpenAI) -> None:
    async with Phone() as phone:
        offer = await phone.offer()
    line = next(each for each in offer.split("\r\n") if each.startswith("a=candidate"))
    for more in ("a=x-" + "y" * 70_000, "\r\n".join([line] * 101)):
        with pytest.raises(APIStatusError) as refused:
            await client.realtime.calls.create(sdp=f"{offer}{more}\r\n")
        assert refused.value.status_code == 413


async def test_what_is_wrong_with_a_request(client: AsyncOpenAI, server: ServerProcess) -> None:
    wrong: list[Any] = [
        {"output_modalities": ["audio"]},
        {"type": "transcription"},
        {"type": "realtime", "model": "m-1", "tools": [{"type": "mcp"}]},
    ]
    async with Phone() as phone:
        offer = await phone.offer()
        for session in wrong:
            with pytest.raises(BadRequestError):
                await client.realtime.calls.create(sdp=offer, session=session)
        unknown: Any = {"type": "realtime", "model": "x"}
        with pytest.raises(NotFoundError):
            await client.realtime.calls.create(sdp=offer, session=unknown)
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}) as http:
        url = f"{server.url}/v1/realtime/calls"
        for kind, body in (
            ("application/json", b"{}"),
            ("multipart/form-data", b"x"),
            ("multipart/form-data; boundary=b", b"--b\r\n\r\nx\r\n--b--\r\n"),
            ("multipart/form-data; boundary=b", b"--b\r\n"),
            ("application/sdp", b"\xff"),
        ):
            refused = await http.post(url, content=body, headers={"Content-Type": kind})
            assert refused.status_code == 400, (kind, body)
            assert refused.json()["error"]["message"]
        anonymous = await http.post(url, content=b"", headers={"Authorization": "Bearer x"})
        assert anonymous.status_code == 401


async def test_one_consumer_has_so_many_calls(client: AsyncOpenAI) -> None:
    phones = [Phone() for _ in range(11)]
    offers = [await phone.offer() for phone in phones]
    calls: list[str] = []
    try:
        while len(calls) < 11:
            try:
                made = await client.realtime.calls.create(sdp=offers[len(calls)])
            except RateLimitError:
                break
            calls.append(made.response.headers["location"].rpartition("/")[2])
        # Calls of other tests may not have ended yet.
        assert 0 < len(calls) <= 10
    finally:
        for call in calls:
            await client.realtime.calls.hangup(call)
        for phone in phones:
            await phone.peer.close()
    async with Phone() as phone:
        assert (await client.realtime.calls.create(sdp=await phone.offer())).text


async def test_the_library_is_an_extra_and_is_not_loaded_before_somebody_calls(
    tmp_path: Path,
) -> None:
    program = "import sys, fairlead.server.lifecycle; print('aiortc' in sys.modules)"
    ran = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await ran.communicate()
    assert said == b"False\n"
    # As where it is not installed.
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['aiortc'] = None\n")
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    async with (
        ServerProcess(tmp_path / "data", env={"PYTHONPATH": path}) as server,
        AsyncOpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0) as client,
    ):
        with pytest.raises(NotFoundError, match=r"fairlead\[webrtc\]"):
            await client.realtime.calls.create(sdp="v=0")
