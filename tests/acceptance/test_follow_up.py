"""A short question is read with the one before it, in retrieval and in the answer."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from tests.support.server import ServerProcess
from tests.support.sse import Reader


async def test_follow_up_is_answered_with_the_question_before_in_mind(
    session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with ServerProcess(tmp_path, "--extractive-pace", "0") as server:
        alone = Reader(session, server.url)
        await alone.ask({"message": "And why?"})
        assert alone.text.startswith("The documents hold no answer")
        for message in ("What is an epoch?", "And why?"):
            reader = Reader(session, server.url)
            await reader.ask({"message": message, "conversation_id": "talk"})
        assert "epoch" in reader.text
        unknown = Reader(session, server.url)
        await unknown.ask({"message": "And the price of tea?", "conversation_id": "talk"})
        assert unknown.text.startswith("The documents hold no answer")
