"""The socket on the application alone: expiry, media, slow clients, errors, without a network."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from fairlead.engine.engine import Engine
from fairlead.engine.models import Model, Models
from fairlead.errors import Unauthenticated
from fairlead.events.model import Media, Part
from fairlead.policy.caller import Caller
from fairlead.ports.store import Batch
from fairlead.server.app import build_app
from fairlead.server.config import Config
from fairlead.server.doors import open_doors
from fairlead.server.entrance import Entrance, policy_of
from fairlead.server.models import Offer
from fairlead.server.system import System
from fairlead.stores.memory import MemoryStore
from fairlead.stores.memory_conversations import MemoryConversations
from fairlead.testing.provider import ScriptedProvider
from fairlead.transports.callers import Callers
from fairlead.transports.connections import Connections, Settings


class Tickets:
    """An identity whose credentials say who and until when: ``alice 0.5`` (seconds from now)."""

    async def identify(self, credential: str | None) -> Caller:
        name, _, seconds = (credential or "").partition(" ")
        if not name:
            raise Unauthenticated("who are you?")
        return Caller(name, expires_at=time.time() + float(seconds) if seconds else None)


class Peer:
    """The client's side of one ASGI socket. While ``open`` is not set nothing is taken."""

    def __init__(self, app: Any, credential: str) -> None:
        self.sent: list[dict[str, Any]] = []
        self.open = asyncio.Event()
        self.open.set()
        self._came = asyncio.Event()
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._inbox.put_nowait({"type": "websocket.connect"})
        scope = {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "scheme": "ws",
            "path": "/ws",
            "raw_path": b"/ws",
            "root_path": "",
            "query_string": b"",
            "headers": [(b"authorization", f"Bearer {credential}".encode())],
            "subprotocols": [],
        }
        self.task = asyncio.create_task(app(scope, self._inbox.get, self._send))

    async def _send(self, message: dict[str, Any]) -> None:
        await self.open.wait()
        self.sent.append(message)
        self._came.set()

    def say(self, **message: Any) -> None:
        self._inbox.put_nowait({"type": "websocket.receive", "text": json.dumps(message)})

    @property
    def waiting(self) -> int:
        """Messages that the server has not taken yet."""
        return self._inbox.qsize()

    def leave(self) -> None:
        self._inbox.put_nowait({"type": "websocket.disconnect", "code": 1000})

    async def next(self, type: str) -> dict[str, Any]:
        """The next message of this type (an ASGI type for what is not text)."""
        async with asyncio.timeout(90):
            while True:
                while self.sent:
                    message = self.sent.pop(0)
                    said = json.loads(message["text"]) if message.get("text") else message
                    if said["type"] == type:
                        return said
                self._came.clear()
                await self._came.wait()


class Forgetful(MemoryStore):
    """Keeps nothing at hand, and may hold back what it has read."""

    def __init__(self) -> None:
        super().__init__()
        self.forgets = False
        self.reading = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    def recent(self, id: str, after: int, max_bytes: int) -> Batch | None:
        return None if self.forgets else super().recent(id, after, max_bytes)

    async def read(self, id: str, after: int, max_bytes: int) -> Batch:
        batch = await super().read(id, after, max_bytes)
        self.reading.set()
        await self.gate.wait()
        return batch


class Served:
    def __init__(
        self, app: Any, engine: Engine, provider: ScriptedProvider, store: Forgetful
    ) -> None:
        self.store = store
        self.app = app
        self.engine = engine
        self.provider = provider
        self.connections: Connections = Connections(Settings())


@pytest.fixture
async def served(tmp_path: Path) -> AsyncGenerator[Served]:
    store, conversations, provider = Forgetful(), MemoryConversations(), ScriptedProvider()
    await store.open()
    await conversations.open()
    engine = Engine(
        store=store,
        conversations=conversations,
        models=Models([Model("scripted", provider)]),
        knowledge=None,
        secret=b"a secret of the deployment",
    )
    await engine.open()
    connections = Connections(Settings(heartbeat=0.2, stall_timeout=2))
    config = Config(data_dir=tmp_path)
    stack = contextlib.AsyncExitStack()
    doors = await open_doors(config, stack, gateway=None, secret=b"", own=Tickets())
    system = System(
        config=config,
        engine=engine,
        callers=Callers(doors.identity),
        doors=doors,
        connections=connections,
        offer=Offer(config, ()),
        entrance=Entrance(policy_of(config)),
    )
    found = Served(build_app(system), engine, provider, store)
    found.connections = connections
    yield found
    await engine.close()
    await stack.aclose()
    await conversations.close()
    await store.close()


async def test_an_expired_credential_closes_with_1008(served: Served) -> None:
    peer = Peer(served.app, "alice 2")
    peer.say(type="chat", message="Hi")
    await peer.next("thinking")
    closed = await peer.next("websocket.close")
    assert (closed["code"], closed["reason"]) == (1008, "the credential has expired")
    await peer.task
    assert served.engine.readers == 0


async def test_another_credential_comes_in_time(served: Served) -> None:
    peer = Peer(served.app, "alice 2")
    peer.say(type="chat", message="Hi")
    await peer.next("thinking")
    peer.say(type="authenticate", token="alice 60", id="1")
    answer = await peer.next("authenticated")
    assert answer == {"type": "authenticated", "id": "1", "data": {"consumer": "alice"}}
    await asyncio.sleep(2.5)  # past the first one's end
    peer.say(type="ping")
    await peer.next("pong")
    served.provider.say("Hello")
    served.provider.finish()
    assert (await peer.next("token"))["data"] == {"token": "Hello"}
    await peer.next("done")
    peer.leave()
    await peer.task
    assert served.engine.readers == 0


async def test_media_bytes_come_in_a_binary_frame(served: Served) -> None:
    data = bytes(range(256)) * 300 + b"\n"
    peer = Peer(served.app, "alice")
    peer.say(type="chat", message="Draw")
    await peer.next("thinking")
    opened = Part(0, part=1, state="open", type="media")
    closed = Part(0, part=1, state="close", type="media")
    served.provider.say("Here: ", opened, Media(0, 1, "image/png", data), closed, "done")
    served.provider.finish()
    await peer.next("token")
    frame = await peer.next("websocket.send")
    head, _, body = frame["bytes"].partition(b"\n")
    message = json.loads(head)
    assert message["type"] == "media"
    assert message["position"]
    assert message["data"] == {"content_type": "image/png", "data": "", "part": 1}
    assert body == data
    assert (await peer.next("token"))["data"] == {"token": "done"}
    peer.leave()
    await peer.task


async def test_a_client_that_takes_nothing_is_queued_nothing_for_and_cut(served: Served) -> None:
    peer = Peer(served.app, "alice")
    peer.say(type="chat", message="Hi")
    await peer.next("thinking")
    peer.open.clear()
    for _ in range(100):
        served.provider.say("x" * 10_000)
    served.provider.finish()
    async with asyncio.timeout(90):
        with contextlib.suppress(OSError):
            await peer.task
    assert served.engine.readers == 0
    assert len(served.connections) == 0
    assert peer.sent == []  # neither what came of it nor a close


async def test_requests_wait_while_their_answers_do(served: Served) -> None:
    peer = Peer(served.app, "alice")
    peer.say(type="ping", id="first")
    await peer.next("pong")
    peer.open.clear()
    for n in range(1000):
        peer.say(type="ping", id=str(n))
    for _ in range(3000):  # far more turns of the loop than it takes
        await asyncio.sleep(0)
    assert 900 < peer.waiting < 1000
    peer.open.set()
    for n in range(1000):
        assert (await peer.next("pong"))["id"] == str(n)
    peer.leave()
    await peer.task


async def test_attaching_at_the_end_says_that_nothing_follows(served: Served) -> None:
    peer = Peer(served.app, "alice")
    peer.say(type="chat", message="Hi")
    served.provider.say("Hello")
    served.provider.finish()
    token = await peer.next("token")
    done = await peer.next("done")
    stream = done["stream"]
    peer.say(type="attach", stream=stream, after=done["position"], id="1")
    data = {"closed": True}
    expected = {"type": "attached", "stream": stream, "id": "1", "data": data}
    assert await peer.next("attached") == expected
    peer.say(type="attach", stream=stream, after=token["position"])
    assert await peer.next("attached") == {"type": "attached", "stream": stream}
    assert await peer.next("done") == done
    assert served.engine.readers == 0
    peer.leave()
    await peer.task


async def test_drain_names_each_stream(served: Served) -> None:
    peer, idle = Peer(served.app, "alice"), Peer(served.app, "bob")
    for n in range(3):
        peer.say(type="chat", message=str(n))
        await peer.next("thinking")
    await idle.next("websocket.accept")
    idle.say(type="ping")
    await idle.next("pong")
    draining = asyncio.create_task(served.connections.drain(5))
    streams = {(await peer.next("drain"))["stream"] for _ in range(3)}
    assert len(streams) == 3
    for one in (peer, idle):
        assert (await one.next("websocket.close"))["code"] == 1012
        await one.task
    await draining
    late = Peer(served.app, "alice")
    assert (await late.next("websocket.close"))["code"] == 1012
    await late.task
    assert served.engine.readers == 0


async def test_news_that_come_while_older_ones_are_fetched_are_not_missed(served: Served) -> None:
    peer = Peer(served.app, "alice")
    peer.say(type="chat", message="Hi")
    await peer.next("thinking")
    store = served.store
    store.forgets = True
    store.reading.clear()
    store.gate.clear()
    served.provider.say("One ")
    await store.reading.wait()
    served.provider.say("two")
    served.provider.finish()
    await served.engine.wait_idle()
    store.gate.set()
    assert (await peer.next("token"))["data"] == {"token": "One "}
    assert (await peer.next("token"))["data"] == {"token": "two"}
    await peer.next("done")
    peer.leave()
    await peer.task
