"""The page: files that were built from ``web/``, with the headers that guard and keep them."""

from __future__ import annotations

from pathlib import Path

from starlette.responses import PlainTextResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from fairlead.errors import NotFound
from fairlead.server import socket

_PACKED = Path(__file__).parent.parent / "_page"
_BUILT = Path(__file__).parents[3] / "web" / "dist"

#: The page runs its own files only, talks to its own server only, and cannot be framed. What it
#: makes itself out of bytes (pictures that were fetched with a credential) it may show.
_GUARDS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; "
        "img-src 'self' data: blob:; media-src 'self' data: blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
}
#: A file whose name holds a hash of its content never changes.
_FOR_EVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"


class Page(StaticFiles):
    """The page's files."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if await _refused(scope, receive, send):
            return
        await super().__call__(scope, receive, send)

    def file_response(self, *args: object, **kwargs: object) -> Response:
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        hashed = Path(str(args[0])).parent.name == "assets"
        response.headers.update(_GUARDS | {"cache-control": _FOR_EVER if hashed else _ASK_AGAIN})
        return response


class NoPage:
    """Stands where the page would: it was not built, and everything else works without it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if await _refused(scope, receive, send):
            return
        if scope["path"].removeprefix(scope.get("root_path", "")) not in ("", "/"):
            raise NotFound(f"there is nothing at {scope['path'][:200]}")
        response = PlainTextResponse("The page is not built here. In a checkout: make page\n", 404)
        await response(scope, receive, send)


def page() -> ASGIApp:
    """The page of the installed package or, in a checkout, the one that ``make page`` built."""
    folder = next((one for one in (_PACKED, _BUILT) if (one / "index.html").is_file()), None)
    return NoPage() if folder is None else Page(directory=folder, html=True)


async def _refused(scope: Scope, receive: Receive, send: Send) -> bool:
    if scope["type"] == "websocket":
        await socket.refuse(WebSocket(scope, receive, send), NotFound("sockets are at /ws"))
    return bool(scope["type"] == "websocket")
