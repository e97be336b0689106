"""Traces: one span for each generation, with the names of the semantic conventions."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from fairlead.engine.ask import Ask
from fairlead.engine.engine import Engine
from fairlead.engine.models import Model, Models
from fairlead.errors import Misconfigured, UpstreamUnavailable
from fairlead.events.model import Usage
from fairlead.policy.caller import Caller
from fairlead.server import traces
from fairlead.server.config import Config
from fairlead.server.tables.traces import Traces as Table
from fairlead.stores.memory import MemoryStore
from fairlead.stores.memory_conversations import MemoryConversations
from fairlead.testing.provider import ScriptedProvider

ALICE = Caller("alice")
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
NOWHERE = "http://127.0.0.1:9/v1/traces"


class Kit(NamedTuple):
    engine: Engine
    provider: ScriptedProvider
    tracing: traces.Traces
    exporter: InMemorySpanExporter

    async def spans(self) -> tuple[ReadableSpan, ...]:
        await self.tracing.close()
        return self.exporter.get_finished_spans()


@pytest.fixture(params=[1.0])
async def kit(request: pytest.FixtureRequest) -> AsyncIterator[Kit]:
    exporter = InMemorySpanExporter()
    tracing = traces.Traces(Table(endpoint=NOWHERE, share=request.param), exporter)
    store, conversations, provider = MemoryStore(), MemoryConversations(), ScriptedProvider()
    await store.open()
    engine = Engine(
        store=store,
        conversations=conversations,
        models=Models([Model("small", provider)]),
        knowledge=None,
        secret=b"a secret of the deployment",
        observers=[tracing],
    )
    await engine.open()
    yield Kit(engine, provider, tracing, exporter)
    await engine.close()
    await tracing.close()
    await store.close()


@pytest.fixture(autouse=True)
def outside() -> Iterator[None]:
    """Each test begins in no trace."""
    kept = traces._context.set(None)
    yield
    traces._context.reset(kept)


async def test_one_span_tells_of_an_answer(kit: Kit) -> None:
    kit.provider.say(*("word " for _ in range(500)))
    kit.provider.say(Usage(0, 30, 500, cached_tokens=10))
    kit.provider.finish()
    started = await kit.engine.start(ALICE, Ask(message="What is s3cret?"))
    await kit.engine.wait_idle()
    (span,) = await kit.spans()
    assert span.name == "chat small"
    assert span.attributes is not None
    told = dict(span.attributes)
    assert told.pop("gen_ai.response.time_to_first_chunk") >= 0  # type: ignore[operator]
    assert told == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "scripted",
        "gen_ai.request.model": "small",
        "gen_ai.response.model": "small",
        "gen_ai.response.id": started.stream,
        "gen_ai.response.finish_reasons": ("completed",),
        "gen_ai.conversation.id": started.meta.conversation,
        "gen_ai.usage.input_tokens": 30,
        "gen_ai.usage.output_tokens": 500,
        "gen_ai.usage.cache_read.input_tokens": 10,
        "fairlead.consumer": "alice",
    }
    assert [event.name for event in span.events] == ["turn", "first token"]
    assert span.start_time is not None
    assert span.end_time is not None
    assert span.start_time <= span.events[1].timestamp <= span.end_time
    assert span.parent is None
    assert span.resource.attributes["service.name"] == "fairlead"
    whole = span.to_json()
    assert "s3cret" not in whole
    assert "word" not in whole


async def test_the_callers_trace_goes_on_and_the_upstream_is_told(kit: Kit) -> None:
    kit.tracing.enter([(b"traceparent", f"00-{TRACE}-{PARENT}-01".encode()), (b"x-other", b"1")])
    kit.provider.finish()
    await kit.engine.start(ALICE, Ask(message="Why?"))
    await kit.engine.wait_idle()
    (span,) = await kit.spans()
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == PARENT
    context = span.get_span_context()
    assert context is not None
    assert f"{context.trace_id:032x}" == TRACE
    (request,) = kit.provider.requests
    assert request.headers["traceparent"] == f"00-{TRACE}-{context.span_id:016x}-01"


@pytest.mark.parametrize("wrong", [b"", b"00-0-0-01", b"x" * 5000, b"\xff", b"00-" + b"0" * 32])
async def test_what_names_no_trace_begins_one(kit: Kit, wrong: bytes) -> None:
    kit.tracing.enter([(b"traceparent", wrong), (b"tracestate", b"\xff=" * 999)])
    kit.provider.finish()
    await kit.engine.start(ALICE, Ask(message="Why?"))
    await kit.engine.wait_idle()
    (span,) = await kit.spans()
    assert span.parent is None


async def test_a_failure_is_named_by_its_code(kit: Kit) -> None:
    kit.provider.fail(UpstreamUnavailable("the prompt was s3cret"))
    await kit.engine.start(ALICE, Ask(message="Why?"))
    await kit.engine.wait_idle()
    (span,) = await kit.spans()
    assert span.attributes is not None
    assert span.attributes["error.type"] == "upstream_unavailable"
    assert not span.status.is_ok
    assert [event.name for event in span.events] == ["turn"]
    assert "s3cret" not in span.to_json()


async def test_a_stop_says_why(kit: Kit) -> None:
    started = await kit.engine.start(ALICE, Ask(message="Why?"))
    await kit.provider.wait_started()
    await kit.engine.stop(ALICE, started.stream)
    (span,) = await kit.spans()
    assert span.attributes is not None
    assert span.attributes["fairlead.stop_reason"] == "stop"
    assert span.status.is_unset


@pytest.mark.parametrize("kit", [0.0], indirect=True)
async def test_of_a_share_the_rest_is_not_traced_unless_the_caller_traces_it(kit: Kit) -> None:
    kit.provider.finish()
    await kit.engine.start(ALICE, Ask(message="Why?"))
    await kit.engine.wait_idle()
    flags = int(kit.provider.requests[0].headers["traceparent"][-2:], 16)
    assert not flags & 1, "the upstream is told that nobody traces it"
    kit.tracing.enter([(b"traceparent", f"00-{TRACE}-{PARENT}-01".encode())])
    kit.provider.finish()
    await kit.engine.start(ALICE, Ask(message="Why?"))
    await kit.engine.wait_idle()
    (span,) = await kit.spans()
    assert span.parent is not None


@pytest.mark.parametrize(
    ("table", "wrong"),
    [
        (Table(endpoint="collector"), "endpoint"),
        (Table(service="x"), "endpoint"),
        (Table(endpoint=NOWHERE, share=1.5), "from 0 to 1"),
        (Table(endpoint=NOWHERE, service=""), "service"),
    ],
)
def test_what_cannot_be_is_refused(table: Table, wrong: str) -> None:
    with pytest.raises(Misconfigured, match=f"traces: .*{wrong}"):
        Config(data_dir=Path("unused"), traces=table)


def test_without_traces_nothing_is_imported_for_them() -> None:
    program = (
        "import sys, fairlead.server.lifecycle\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry.sdk')"
        " or name.startswith('opentelemetry.exporter') or name == 'fairlead.server.traces'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
