"""``/v1/realtime/calls``: sessions of OpenAI's Realtime API over WebRTC (PROTOCOL.md, section 15).

The session is the one of :mod:`fairlead.server.realtime`, on a data channel.
"""

from __future__ import annotations

import asyncio
import importlib
import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import structlog
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from fairlead.dialects.openai_body import decoded
from fairlead.errors import BadRequest, Busy, Draining, NotFound, TooMany
from fairlead.framing.multipart import parts
from fairlead.policy.caller import ADMIN, Caller
from fairlead.primitives import random_id
from fairlead.server import http
from fairlead.server.openai_requests import orphan_window
from fairlead.server.realtime import SETTINGS, Opening, converse, opening
from fairlead.server.system import System
from fairlead.transports.callers import credential
from fairlead.transports.websocket import Socket

if TYPE_CHECKING:
    from fairlead.transports.webrtc import Peer

_log = structlog.get_logger("fairlead.server")

router = APIRouter(prefix="/v1/realtime/calls", tags=["openai"])

SDP, FORM = "application/sdp", "multipart/form-data"
_INSTALL = "pip install 'fairlead[webrtc]'"
#: Seconds from the answer to an offer until its data channel must be there.
_PATIENCE = 30.0
#: Calls at once, in all and of one consumer: each has keys of its own, a socket for each address of
#: this machine, and timers.
_MOST, _MOST_EACH = 100, 10

_RESPONSES: dict[int | str, dict[str, Any]] = {
    201: {
        "description": "The answer; `Location` names the call.",
        "content": {SDP: {"schema": {"type": "string"}}},
        "headers": {"Location": {"schema": {"type": "string"}}},
    }
}
_BODY: dict[str, Any] = {
    "requestBody": {
        "content": {
            SDP: {"schema": {"type": "string"}},
            FORM: {
                "schema": {
                    "type": "object",
                    "required": ["sdp"],
                    "properties": {"sdp": {"type": "string"}, "session": {"type": "string"}},
                }
            },
        }
    },
    "parameters": [{"name": "model", "in": "query", "schema": {"type": "string"}}],
}


class Call:
    """One call, from its offer to its end."""

    def __init__(self, id: str, caller: Caller, peer: Peer) -> None:
        self.id = id
        self.caller = caller
        self.peer = peer
        self.running: asyncio.Task[None] | None = None


class Calls:
    """The calls of this process."""

    def __init__(self) -> None:
        self._calls: dict[str, Call] = {}

    def add(self, call: Call) -> None:
        """Count the call. Raises :class:`~fairlead.errors.Busy` and
        :class:`~fairlead.errors.TooMany` where there is no room."""
        if len(self._calls) >= _MOST:
            raise Busy(f"{_MOST} calls are open, which is the cap", retry_after=5)
        consumer = call.caller.consumer
        if sum(each.caller.consumer == consumer for each in self._calls.values()) >= _MOST_EACH:
            raise TooMany(f"{_MOST_EACH} of your calls are open, which is the cap", retry_after=5)
        self._calls[call.id] = call

    def remove(self, call: Call) -> None:
        """The call is over."""
        self._calls.pop(call.id, None)

    def find(self, caller: Caller, id: str) -> Call:
        """The call, if it is the caller's. Raises :class:`~fairlead.errors.NotFound`."""
        call = self._calls.get(id)
        if call is not None:
            if call.caller.consumer == caller.consumer or ADMIN in caller.scopes:
                return call
        raise NotFound("there is no such call, or none that this credential may see")


@router.post(
    "",
    status_code=201,
    summary="Open a Realtime session over WebRTC",
    responses=_RESPONSES,
    openapi_extra=_BODY,
)
async def create(request: Request) -> Response:
    """The body is an offer, or a form of one and the session's settings; its data channel
    ``oai-events`` carries the events that a WebSocket would."""
    http.same_site(request)
    caller = await http.caller(request)
    system = http.system(request)
    if find_spec("aiortc") is None:
        raise NotFound(f"nobody is called here: this server lacks the extra 'webrtc' ({_INSTALL})")
    if system.connections.draining or system.engine.draining:
        raise Draining("the server is restarting", retry_after=2)
    offer, said = await _offer(request)
    settings = None if said is None else decoded(said, SETTINGS)
    asked = request.query_params.get("model", "")
    found = await opening(system, caller, credential(request.scope), asked, settings)
    found = found._replace(orphan_window=orphan_window(request))
    if found.elsewhere:
        raise BadRequest(
            f"the sessions of {found.model!r} are held by an upstream, audio included: open them "
            "over a WebSocket",
            param="model",
        )
    found.session(system)  # whatever is wrong with its settings is said now
    # Here, and not before there are calls: it takes a second, and 40 MB.
    webrtc = await asyncio.to_thread(importlib.import_module, "fairlead.transports.webrtc")
    calls: Calls = request.app.state.calls
    call = Call(
        f"rtc_{random_id(os.urandom(16))}", caller, webrtc.Peer(system.config.max_ask_bytes)
    )
    try:
        calls.add(call)
        answer = await call.peer.answer(offer)
    except BaseException:
        calls.remove(call)
        await call.peer.close()
        raise
    call.running = asyncio.create_task(_carry(system, calls, call, found), name=call.id)
    call.running.add_done_callback(_ended)
    location = f"{request.scope.get('root_path', '')}{router.prefix}/{call.id}"
    headers = {"content-type": SDP, "location": location, "cache-control": "no-store"}
    return Response(answer, 201, headers)


@router.post("/{call}/hangup", summary="End a call")
async def hang_up(request: Request, call: str) -> Response:
    """What is being written goes on, as when a connection is cut."""
    http.same_site(request)
    caller = await http.caller(request)
    calls: Calls = request.app.state.calls
    await calls.find(caller, call).peer.close()
    return Response(status_code=200)


async def _offer(request: Request) -> tuple[str, bytes | None]:
    """The offer, and the session's settings (JSON) if they come with it."""
    content_type = request.headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in (SDP, FORM):
        raise BadRequest(
            f"the body must be an offer, or a form of 'sdp' and 'session': send 'Content-Type: "
            f"{SDP}' or '{FORM}', not {kind[:100] or 'nothing'!r}"
        )
    body = await http.bounded_body(request, http.system(request).config.max_body_bytes)
    session: bytes | None = None
    if kind == FORM:
        form = parts(content_type, body)
        if "sdp" not in form:
            raise BadRequest("'sdp' is missing: the offer", param="sdp")
        body, session = form["sdp"], form.get("session")
    try:
        return body.decode(), session
    except UnicodeDecodeError:
        raise BadRequest("the offer is no UTF-8", param="sdp") from None


async def _carry(system: System, calls: Calls, call: Call, found: Opening) -> None:
    """The call's session, once its data channel is there."""
    peer = call.peer
    try:
        async with asyncio.timeout(_PATIENCE):
            there = await peer.opened()
        if there:
            async with Socket(
                system.engine, system.connections, {}, peer.receive, peer.send
            ) as opened:
                await converse(system, opened, found)
    except TimeoutError:
        _log.info("call_not_connected", call=call.id)
    finally:
        calls.remove(call)
        await peer.close()


def _ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("call_failed", call=task.get_name(), exc_info=error)
