"""Responses over a WebSocket that a page opens in Chromium: with a credential in a subprotocol, as
the vendor's clients for browsers send theirs, or with a ticket."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio

from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from tests.sdks.serving import AT_ONCE, KEY, serving
from tests.support.node import Script
from tests.support.ports import free_port
from tests.support.server import ServerProcess

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXT = "Hello there, how are you?"

#: What a page has of its own: a line, and what came over it.
PAGE = r"""
globalThis.Line = class {
  events = [];
  #wake = () => {};
  constructor(url, protocols) {
    this.socket = new WebSocket(url, protocols);
    this.socket.onmessage = ({ data }) => this.add(JSON.parse(data));
    this.socket.onclose = ({ code }) => this.add({ type: "closed", code });
    this.socket.onopen = () => this.add({ type: "opened", protocol: this.socket.protocol });
  }
  add(event) { this.events.push(event); this.#wake(); }
  send(fields) { this.socket.send(JSON.stringify(fields)); }
  ask(fields) { this.send({ type: "response.create", model: "m-1", ...fields }); }
  // All events until so many of them were of these types.
  async until(types, count = 1) {
    while (this.events.filter(({ type }) => types.includes(type)).length < count) {
      if (this.events.at(-1)?.type === "closed") throw Error(JSON.stringify(this.events));
      await new Promise((resolve) => (this.#wake = resolve));
    }
    return this.events;
  }
};
globalThis.text = (events) => events
  .filter(({ type }) => type === "response.output_text.delta").map(({ delta }) => delta).join("");
globalThis.ticket = async (url, key) => {
  const headers = { Authorization: `Bearer ${key}` };
  return (await (await fetch(`${url}/tickets`, { method: "POST", headers })).json()).ticket;
};
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(
    running: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[ServerProcess]:
    port = free_port()
    server = serving(
        tmp_path_factory.mktemp("browser"),
        {"name": "scripted", "base_url": running.base_url, "models": ["m-1"], **AT_ONCE},
        cors_origins=[f"http://app.localhost:{port}"],
    )
    server.port = port
    async with server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncGenerator[Script]:
    async with Script("browser.mjs") as script:
        yield script


class Page:
    """A page that has come from an address, and may open sockets to the server."""

    def __init__(self, chromium: Script, server: ServerProcess) -> None:
        self._chromium = chromium
        self._port = server.port
        self._names = {
            "http": json.dumps(server.url),
            "ws": json.dumps(server.url.replace("http", "ws", 1) + "/v1/responses"),
            "key": json.dumps(KEY),
            "protocols": json.dumps(["realtime", f"openai-insecure-api-key.{KEY}"]),
        }

    async def goto(self, host: str) -> Page:
        """From a path that has no page of the server's own, with a policy of its own."""
        await self._chromium.send(goto=f"http://{host}:{self._port}/health/live")
        await self._chromium.next("page")
        await self.run(PAGE)
        return self

    async def run(self, program: str) -> Any:
        """What a program returns, which knows the server's addresses and a key."""
        names = "".join(f"const {name} = {value};" for name, value in self._names.items())
        await self._chromium.send(run=f"(async () => {{ {names} {program} }})()")
        return (await self._chromium.next("result"))["value"]


@pytest_asyncio.fixture(loop_scope="module")
async def page(chromium: Script, server: ServerProcess) -> Page:
    return await Page(chromium, server).goto("127.0.0.1")


async def test_several_responses_with_a_key_in_a_subprotocol(
    page: Page, upstream: ScriptedUpstream
) -> None:
    upstream.script(lambda request: Answer(f"answer to {request.message_texts('user')[-1]}"))
    events = await page.run(
        """
        const line = new Line(ws, protocols);
        await line.until(["opened"]);
        for (const lane of ["a", "b", "c"]) line.ask({ input: lane, stream_id: lane });
        return await line.until(["response.completed"], 3);
        """
    )
    assert events[0] == {"type": "opened", "protocol": "realtime"}
    for lane in "abc":
        own = [event for event in events[1:] if event["stream_id"] == lane]
        assert [event["sequence_number"] for event in own] == list(range(len(own)))
        said = [event["delta"] for event in own if event["type"] == "response.output_text.delta"]
        assert "".join(said) == f"answer to {lane}"
    assert KEY not in json.dumps(events)


async def test_a_dialogue_with_a_ticket_which_is_good_once(
    page: Page, upstream: ScriptedUpstream
) -> None:
    made = await page.run(
        """
        const address = `${ws}?ticket=${await ticket(http, key)}`;
        const line = new Line(address);
        await line.until(["opened"]);
        line.ask({ input: "One", store: false });
        const [{ response }] = (await line.until(["response.completed"])).slice(-1);
        line.ask({ input: "Two", store: false, previous_response_id: response.id });
        const events = await line.until(["response.completed"], 2);
        const again = new Line(address);
        return { text: text(events), again: await again.until(["opened", "closed"]) };
        """
    )
    assert made["text"] == TEXT + TEXT
    assert made["again"] == [{"type": "closed", "code": 1006}]
    said = [message["content"] for message in upstream.requests[-1].json["messages"]]
    assert said == ["One", TEXT, "Two"]


async def test_one_that_is_stopped_and_an_error(page: Page, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(TEXT, pace=Pace(gated=True)), Answer(TEXT))
    upstream.release(1)
    made = await page.run(
        """
        const line = new Line(ws, protocols);
        await line.until(["opened"]);
        line.ask({ input: "Hi" });
        await line.until(["response.output_text.delta"]);
        line.send({ type: "response.cancel" });
        const [stopped] = (await line.until(["response.incomplete"])).slice(-1);
        line.ask({ input: "Hi", previous_response_id: "resp_none" });
        const [refused] = (await line.until(["error"])).slice(-1);
        line.ask({ input: "Hi" });
        const [{ response }] = (await line.until(["response.completed"])).slice(-1);
        const { status } = stopped.response;
        return { status, error: refused.error.code, then: response.status };
        """
    )
    assert made == {
        "status": "cancelled",
        "error": "previous_response_not_found",
        "then": "completed",
    }


async def test_a_response_is_read_on_after_its_socket_has_gone(
    page: Page, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(TEXT, pace=Pace(gated=True)))
    before = len(upstream.requests)
    upstream.release(2)
    await page.run(
        """
        const line = new Line(ws, protocols);
        await line.until(["opened"]);
        line.ask({ input: "Hi" });
        await line.until(["response.output_text.delta"], 2);
        line.socket.close();
        await line.until(["closed"]);
        globalThis.seen = line.events.filter(({ sequence_number }) => sequence_number >= 0);
        """
    )
    (await upstream.wait_requests(before + 1)).release(100)
    events = await page.run(
        """
        const { response } = seen[0];
        const last = seen.at(-1).sequence_number;
        const query = `stream=true&starting_after=${last}&ticket=${await ticket(http, key)}`;
        const source = new EventSource(`${http}/v1/responses/${response.id}?${query}`);
        await new Promise((resolve) => {
          const take = ({ data }) => seen.push(JSON.parse(data));
          for (const name of ["output_text.delta", "output_text.done", "content_part.done",
                              "output_item.done", "completed"])
            source.addEventListener(`response.${name}`, take);
          source.addEventListener("response.completed", resolve);
        });
        source.close();
        return seen;
        """
    )
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == TEXT


async def test_who_may_not(chromium: Script, server: ServerProcess, upstream: Any) -> None:
    """A wrong key, none, and a page of another site, unless the operator has named it."""
    attempt = """
        const line = new Line(ws, %s);
        return (await line.until(["opened", "closed"])).map(({ type }) => type);
        """
    page = await Page(chromium, server).goto("127.0.0.1")
    wrong = '["realtime", "openai-insecure-api-key.wrong"]'
    for offered in (wrong, '["realtime"]', "[]"):
        assert await page.run(attempt % offered) == ["closed"]
    assert await page.run(attempt % "protocols") == ["opened"]
    for host, outcome in (("evil.localhost", "closed"), ("app.localhost", "opened")):
        page = await Page(chromium, server).goto(host)
        assert await page.run(attempt % "protocols") == [outcome]
