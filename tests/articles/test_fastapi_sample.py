"""The articles' server and Fairlead say the same: every client runs against either."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from httpx_sse import aconnect_sse

from fairlead.testing.upstream import Answer, ScriptedUpstream
from tests.articles.conftest import Serve
from tests.articles.fastapi_sample import TOKENS
from tests.support.apps import python_app
from tests.support.node import Script

TEXT = "".join(TOKENS)
SAMPLE = "tests.articles.fastapi_sample:app"
QUESTION = "How does a client resume after a broken connection?"


@pytest.fixture(params=["the sample", "fairlead"])
async def url(
    request: pytest.FixtureRequest, serve: Serve, upstream: ScriptedUpstream
) -> AsyncGenerator[str]:
    """The one server, then the other."""
    if request.param == "the sample":
        async with python_app(SAMPLE) as url:
            yield url
    else:
        upstream.script(Answer(tokens=TOKENS))
        yield (await serve(knowledge=True)).url


def check(events: list[tuple[str, dict[str, Any]]]) -> None:
    """The fixed part of the wire."""
    names = [name for name, _ in events]
    assert names[:2] == ["thinking", "sources"]
    assert names[-1] == "done"
    data = dict(events)
    assert data["thinking"]["status"] in ("retrieving", "reading", "writing")
    assert data["thinking"]["message"]
    assert data["sources"]["count"] == len(data["sources"]["sources"]) > 0
    assert "".join(value["token"] for name, value in events if name == "token") == TEXT
    assert data["done"]["status"] == "completed"


async def test_every_client_runs_against_both(url: str) -> None:
    # fetch-event-source
    async with Script("fetch-event-source.mjs", url=url, message=QUESTION) as script:
        await script.next("done")
    known = ("thinking", "sources", "token", "done")
    names = [report["is"] for report in script.reports if report["is"] in known]
    assert names[:3] == ["thinking", "sources", names[2]]
    assert "".join(report["token"] for report in script.all("token")) == TEXT
    assert script.all("thinking")[0]["status"] == "retrieving"
    assert script.all("sources")[0]["sources"]
    assert not script.all("error")

    # EventSource
    get = f"{url}/chat/stream?message={quote(QUESTION)}"
    async with Script("eventsource.mjs", url=get) as script:
        await script.next("done")
    first = script.reports[: script.reports.index(script.all("done")[0]) + 1]
    check([(report["is"], report["data"]) for report in first if "data" in report])

    # httpx-sse
    async with (
        httpx.AsyncClient() as client,
        aconnect_sse(client, "POST", f"{url}/chat/stream", json={"message": QUESTION}) as source,
    ):
        for name, value in (
            ("content-type", "text/event-stream"),
            ("cache-control", "no-cache"),
            ("connection", "keep-alive"),
            ("x-accel-buffering", "no"),
            ("transfer-encoding", "chunked"),
        ):
            assert source.response.headers[name].startswith(value)
        events = [(event.event, event.json()) async for event in source.aiter_sse()]
    check([(name, value) for name, value in events if name in known])
