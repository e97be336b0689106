"""The OpenAPI document: every operation has an example, and each example runs against the real
server; and nothing that is sent to an operator's route breaks it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from fairlead.server.openapi import EXAMPLES
from tests.support.server import ServerProcess
from tests.support.sse import Reader

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "0perators-own"
HEADERS = {"Authorization": f"Bearer {KEY}"}
LEAVE = b"# Leave\n\nEverybody has 30 days of leave.\n"
#: Without an example: they send a browser to a provider and back, or speak another one's dialect.
ELSEWHERE = ("/login", "/login/callback")


class Scene:
    """A server with something of everything, and its document."""

    def __init__(self, http: aiohttp.ClientSession, server: ServerProcess) -> None:
        self.http = http
        self.url = server.url
        self.document: dict[str, Any] = {}
        self.talking: aiohttp.ClientWebSocketResponse | None = None

    async def json(self, method: str, path: str, **more: Any) -> Any:
        async with self.http.request(method, self.url + path, **more) as response:
            assert response.status < 300, await response.text()
            return json.loads(await response.read() or b"null")

    async def answered(self) -> Reader:
        """An answer that has ended."""
        reader = Reader(self.http, self.url)
        await reader.ask({"message": "What is a position?", "conversation_id": "my-first-talk"})
        return reader

    async def real(self, method: str, path: str) -> dict[str, str]:
        """Real ids in place of those of the example, made for this operation."""
        if path == "/streams/{stream}/events":
            begun = await self.json("POST", "/streams", json={"message": "Seven?"})
            return {"stream": begun["stream"], "writer": str(begun["writer"])}
        if "{socket}" in path:
            self.talking = await self.http.ws_connect(f"{self.url}/talk/")
            (open,) = (await self.json("GET", "/admin/streams"))["sockets"]
            return {"socket": open["socket"]}
        if "{stream}" in path:
            reader = await self.answered()
            shown = next(at for name, _, at in reader.events if name == "token")
            return {"stream": reader.stream, "shown": shown}
        if path.startswith("/conversations/{id}"):
            # What an earlier one may have removed.
            await self.answered()
            if "attachment" in path:
                attached = [{"type": "text/plain", "data": base64.b64encode(b"Seven.").decode()}]
                reader = Reader(self.http, self.url)
                await reader.ask(
                    {"message": "And this?", "conversation_id": "pictures", "attachments": attached}
                )
                talk = await self.json("GET", "/conversations/pictures")
                found = [
                    a["attachment_id"] for m in talk["messages"] for a in m.get("attachments", ())
                ]
                return {"id": "pictures", "attachment": found[0]}
        if path == "/passages/{id}":
            await self.json("PUT", "/documents/leave.md", data=LEAVE)
            reader = Reader(self.http, self.url)
            await reader.ask({"message": "How many days of leave are there?"})
            (sources,) = (data for name, data, _ in reader.events if name == "sources")
            return {"id": sources["sources"][0]["id"]}
        if path.startswith("/admin/keys/{id}"):
            return {"id": (await self.json("POST", "/admin/keys", json={"consumer": "bob"}))["id"]}
        if (method, path) == ("DELETE", "/documents/{name}"):
            await self.json(
                "PUT", "/documents/leave.md", data=b"# Leave\n\nEverybody has 30 days.\n"
            )
        return {}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    folder: Path = tmp_path_factory.mktemp("openapi")
    application = web.Application()
    application.router.add_get("/", _listens)
    app = TestServer(application)
    await app.start_server()
    (folder / "fairlead.toml").write_text(
        '[[keys]]\nconsumer = "operator"\nscopes = ["ask", "read", "admin"]\n'
        f'sha256 = "{hashlib.sha256(KEY.encode()).hexdigest()}"\n'
        '[[budgets]]\nname = "daily"\nlimit = 1000000\n'
        f'[[apps]]\nname = "talk"\npath = "/talk"\ntarget = "http://127.0.0.1:{app.port}"\n'
    )
    server = ServerProcess(
        folder / "data", "--config", str(folder / "fairlead.toml"), "--extractive-pace", "0"
    )
    async with server, aiohttp.ClientSession(headers=HEADERS) as http:
        scene = Scene(http, server)
        scene.document = await scene.json("GET", "/openapi.json")
        yield scene
    await app.close()


async def _listens(request: web.Request) -> web.WebSocketResponse:
    """An application's WebSocket that says nothing."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.receive()
    return socket


@pytest.mark.parametrize(("method", "path"), list(EXAMPLES), ids=lambda part: part)
async def test_example_runs(scene: Scene, method: str, path: str) -> None:
    operation = scene.document["paths"][path][method.lower()]
    real = await scene.real(method, path)
    url, query = path, {}
    for parameter in operation.get("parameters", ()):
        name, shown = parameter["name"], parameter.get("example")
        if parameter["in"] == "path":
            assert shown is not None, f"{name} has no example"
            url = url.replace(f"{{{name}}}", real.get(name, str(shown)))
        elif shown is not None:
            query[name] = real.get(name, str(shown))
    more: dict[str, Any] = {"params": query}
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        body = content["example"]
        if isinstance(body, dict) and "shown" in body:
            body = body | {"shown": real["shown"]}
        more["data"] = body if isinstance(body, str) else json.dumps(body)
        more["headers"] = {"Content-Type": kind}
    reader = None
    if path.endswith("/credential"):
        # It has to be open.
        begun = await scene.json("POST", "/streams", json={"message": "Seven?"})
        url = url.replace(real.get("stream", "/no stream"), begun["stream"])
        reader = await scene.http.get(f"{scene.url}/streams/{begun['stream']}?reader=tab-1")
    async with scene.http.request(method, scene.url + url, **more) as response:
        text = await response.text()
        assert str(response.status) in operation["responses"], text
        assert response.status < 300, text
        documented = operation["responses"][str(response.status)].get("content", {})
        if text and "*/*" not in documented:
            assert response.content_type in (*documented, "application/json")
    if reader is not None:
        reader.close()
    if scene.talking is not None:
        await scene.talking.close()


async def test_every_operation_has_one(scene: Scene) -> None:
    lacking = [
        (method, path)
        for path, operations in scene.document["paths"].items()
        for method in operations
        if (method.upper(), path) not in EXAMPLES
        and path not in ELSEWHERE
        and not path.startswith("/v1/")
    ]
    assert lacking == []


async def test_errors_and_credentials_are_described(scene: Scene) -> None:
    document = scene.document
    assert document["servers"] == [{"url": "/"}]
    assert {"key", "ticket"} <= set(document["components"]["securitySchemes"])
    problem = document["components"]["schemas"]["Problem"]["required"]
    async with scene.http.post(f"{scene.url}/chat/stream", json={}) as response:
        assert set(problem) <= set(await response.json())
    for operations in document["paths"].values():
        for operation in operations.values():
            assert operation["summary"]
            assert "422" not in operation["responses"]
            assert "default" in operation["responses"]


WRONG: list[Any] = [
    "", "0", "-1", "x" * 5000, "\x00", "💥", "%", "'; --", "1e999", "9" * 40, "null", "2026-13-45",
    "210", "\ud7ff", "a.b",
]  # fmt: skip
BODIES = [
    b"", b"{", b"null", b"[]", b"{}", b'{"consumer":null}', b'{"consumer":"a","expires_in":-1}',
    b'{"consumer":"a","expires_in":1e400}', b'{"consumer":"a","scopes":[]}', b"\xff\xfe",
    b'{"consumer":"a","name":"\\u0000"}', b'{"overlap":-1}', b'{"overlap":NaN}', b"[" * 5000,
    b'{"consumer":"a","quotas":["' + b"x" * 600 + b'"]}', b'{"overlap":"soon"}',
]  # fmt: skip


async def test_nothing_breaks_an_operators_route(scene: Scene) -> None:
    routes = [
        (method.upper(), path, operation)
        for path, operations in scene.document["paths"].items()
        if path.startswith("/admin") or path == "/metrics"
        for method, operation in operations.items()
    ]
    assert len(routes) > 12
    tried = 0
    for method, path, operation in routes:
        names = [p["name"] for p in operation.get("parameters", ()) if p["in"] == "query"]
        cases: list[dict[str, Any]] = [
            {"params": {name: wrong}} for name in names for wrong in WRONG
        ]
        if method == "POST":
            cases += [
                {"data": body, "headers": {"Content-Type": "application/json"}} for body in BODIES
            ]
        for case in cases or [{}]:
            url = path.replace("{id}", "nobodys").replace("{stream}", "nobodys")
            async with scene.http.request(method, scene.url + url, **case) as response:
                assert response.status < 500, (method, path, case, await response.text())
                tried += 1
        if "{" in path:
            for wrong in ("%00", "%FF", "x" * 3000, "..", "%2e%2e", "💥"):
                url = path.replace("{id}", wrong).replace("{stream}", wrong)
                async with scene.http.request(method, scene.url + url) as response:
                    assert response.status < 500, (method, url[:80])
                    tried += 1
    assert tried > 200
