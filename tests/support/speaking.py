"""A Realtime upstream for tests that takes and gives audio, on a real socket."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers


class SpeakingUpstream:
    """Holds sessions that answer with audio: once when ``response.create`` comes, and once when a
    buffer is committed, as servers do that hear the end of what is said. An async context manager.

    ``heard`` has what came, by session; ``headers`` and ``models`` those of the handshakes;
    ``status``: what handshakes are refused with; 0: none is.
    """

    def __init__(self) -> None:
        self.heard: list[list[dict[str, Any]]] = []
        self.headers: list[Headers] = []
        self.models: list[str] = []
        self.status = 0
        self._server: Server

    @property
    def base_url(self) -> str:
        """What an upstream's ``base_url`` is."""
        port = self._server.sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}/v1"

    async def __aenter__(self) -> SpeakingUpstream:
        self._server = await serve(
            self._session, "127.0.0.1", 0, process_request=self._judge, max_size=None
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    def _judge(self, connection: ServerConnection, request: Any) -> Any:
        self.headers.append(request.headers)
        return connection.respond(self.status, "no\n") if self.status else None

    async def _session(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        parts = urlsplit(connection.request.path)
        assert parts.path == "/v1/realtime"
        (model,) = parse_qs(parts.query)["model"]
        self.models.append(model)
        heard: list[dict[str, Any]] = []
        self.heard.append(heard)
        number = 0

        async def say(type: str, **fields: Any) -> None:
            nonlocal number
            number += 1
            event = {"type": type, "event_id": f"event_{number}", **fields}
            await connection.send(json.dumps(event))

        async def answer() -> None:
            response: dict[str, Any] = {
                "object": "realtime.response",
                "id": f"resp_{number}",
                "output": [],
            }
            where: dict[str, Any] = {"response_id": response["id"], "item_id": "item_1"}
            where |= {"output_index": 0, "content_index": 0}
            await say("response.created", response={**response, "status": "in_progress"})
            await say("response.output_audio.delta", delta="UklGRg==", **where)
            await say("response.output_audio_transcript.delta", delta="Hello", **where)
            details = {"cached_tokens": 10, "audio_tokens": 30, "text_tokens": 0}
            usage: dict[str, Any] = {"input_tokens": 30, "output_tokens": 70}
            usage |= {"total_tokens": 100, "input_token_details": details}
            await say("response.done", response={**response, "status": "completed", "usage": usage})

        session = {"type": "realtime", "object": "realtime.session", "model": model}
        await say("session.created", session=session)
        async for data in connection:
            event = json.loads(data)
            heard.append(event)
            match event["type"]:
                case "session.update":
                    await say("session.updated", session=session | event["session"])
                case "input_audio_buffer.commit":
                    await say("input_audio_buffer.committed", item_id="item_0")
                    await answer()
                case "response.create":
                    await answer()
                case "hang.up":
                    await connection.close(4001, "enough")
