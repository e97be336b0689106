"""Bodies that are too large or too slow, as the routes read them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from starlette.requests import Request

from fairlead.errors import BadRequest, TooLarge
from fairlead.server import http
from fairlead.transports import arrival


def request(pieces: AsyncGenerator[bytes, None], **headers: str) -> Request:
    async def receive() -> dict[str, Any]:
        try:
            return {"type": "http.request", "body": await anext(pieces), "more_body": True}
        except StopAsyncIteration:
            return {"type": "http.request", "body": b"", "more_body": False}

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "headers": raw}, receive)


async def whole(*pieces: bytes) -> AsyncGenerator[bytes, None]:
    for piece in pieces:
        yield piece


async def silent() -> AsyncGenerator[bytes, None]:
    yield b"{"
    await asyncio.Event().wait()


async def dripping() -> AsyncGenerator[bytes, None]:
    while True:
        yield b" "
        await asyncio.sleep(0.001)


async def test_a_body_within_the_limit_is_read() -> None:
    assert await http.bounded_body(request(whole(b"ab", b"cd")), 4) == b"abcd"


@pytest.mark.parametrize("headers", [{}, {"content_length": "5"}])
async def test_a_body_over_the_limit_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(TooLarge, match="4 bytes"):
        await http.bounded_body(request(whole(b"ab", b"cde"), **headers), 4)


@pytest.mark.parametrize("pieces", [silent, dripping])
async def test_who_drips_a_body_is_refused_however_large_it_might_become(
    pieces: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrival, "TIMEOUT", 0.05)
    async with asyncio.timeout(90):
        with pytest.raises(BadRequest, match="in time"):
            await http.bounded_body(request(pieces()), 1 << 30)


async def test_a_large_body_has_longer_while_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrival, "TIMEOUT", 0.05)

    async def large() -> AsyncGenerator[bytes, None]:
        yield b"x" * (20 * arrival.SLOWEST)
        await asyncio.sleep(0.2)
        yield b"y"

    body = await http.bounded_body(request(large()), 1 << 30)
    assert len(body) == 20 * arrival.SLOWEST + 1
