"""The speaker of a server that has none of its own: it is told each token by a request."""

from __future__ import annotations

import asyncio
import time

from bench.load.plan import Publish, Request
from bench.load.reader import BadAnswer
from bench.ticker import stamp_of, token_text


async def publish(plan: Publish) -> None:
    """Speak, at the plan's rate, until cancelled. Raises
    :class:`~bench.load.reader.BadAnswer` if the server does not take it."""
    receiving, sending = await asyncio.open_connection("127.0.0.1", plan.port)
    due, number = time.monotonic(), 0
    try:
        while True:
            number += 1
            body = plan.body.replace("TOKEN", token_text(stamp_of(due), number))
            headers = {"Content-Type": "application/json", "Accept": "application/json"}
            request = Request(port=plan.port, path=plan.path, body=body, headers=headers)
            sending.write(request.encode())
            head = await receiving.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 20"):
                raise BadAnswer(f"a token was refused: {head[:200].decode(errors='replace')}")
            size = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await receiving.readexactly(int(size or 0))
            due += 1 / plan.rate
            await asyncio.sleep(due - time.monotonic())
    finally:
        sending.close()
