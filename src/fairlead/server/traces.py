"""Traces by OpenTelemetry: one span for each generation, never one for a token.

Names are those of the semantic conventions for generative AI, which are not stable yet and so stand
here as constants: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/. Prompts and
answers are in no span.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextvars import ContextVar

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import fairlead
from fairlead.ports.observer import Begun, Ended
from fairlead.server.tables.traces import Traces as Table

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
RESPONSE_ID = "gen_ai.response.id"
CONVERSATION = "gen_ai.conversation.id"
FINISH_REASONS = "gen_ai.response.finish_reasons"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
ERROR = "error.type"
#: Of our own.
CONSUMER = "fairlead.consumer"
BUDGET = "fairlead.budget"
REASON = "fairlead.stop_reason"

FIRST_TOKEN = "first token"
TURN = "turn"
CHAT = "chat"

#: The longest ``tracestate`` that is handed on (W3C Trace Context, section 3.3.1.5).
_LONGEST = 512
_NANO = 1_000_000_000

_context: ContextVar[Context | None] = ContextVar("fairlead_trace", default=None)


class Traces:
    """A :class:`~fairlead.server.tracing.Tracing`. ``exporter``: where spans go in place of the
    configured collector."""

    def __init__(self, table: Table, exporter: SpanExporter | None = None) -> None:
        headers = {"authorization": table.authorization.reveal()} if table.authorization else {}
        processor = BatchSpanProcessor(
            exporter or OTLPSpanExporter(endpoint=table.endpoint, headers=headers)
        )
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(table.share)),
            resource=Resource.create(
                {"service.name": table.service, "service.version": fairlead.__version__}
            ),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("fairlead", fairlead.__version__)
        self._wire = TraceContextTextMapPropagator()
        self._spans: dict[str, Span] = {}
        self._closed = False

    def enter(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        carrier = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in headers
            if name in (b"traceparent", b"tracestate") and len(value) <= _LONGEST
        }
        _context.set(self._wire.extract(carrier) if "traceparent" in carrier else None)

    def begun(self, begun: Begun) -> Mapping[str, str]:
        span = self._tracer.start_span(
            f"{CHAT} {begun.model or begun.provider}",
            context=_context.get() or Context(),
            kind=SpanKind.CLIENT,
            attributes={
                OPERATION: CHAT,
                PROVIDER: begun.provider,
                REQUEST_MODEL: begun.model,
                RESPONSE_ID: begun.stream,
                CONVERSATION: begun.conversation,
                CONSUMER: begun.consumer,
            },
            start_time=int(begun.at * _NANO),
        )
        self._spans[begun.stream] = span
        carrier: dict[str, str] = {}
        self._wire.inject(carrier, set_span_in_context(span, Context()))
        return carrier

    def paced(self, begun: Begun, seconds: float) -> None:
        pass

    def refused(self, code: str, budget: str) -> None:
        pass

    def exhausted(self, budget: str) -> None:
        pass

    def ended(self, ended: Ended) -> None:
        span = self._spans.pop(ended.begun.stream)
        if ended.turn_at is not None:
            span.add_event(TURN, timestamp=int(ended.turn_at * _NANO))
        if ended.first_at is not None:
            span.add_event(FIRST_TOKEN, timestamp=int(ended.first_at * _NANO))
            span.set_attribute(TIME_TO_FIRST_CHUNK, ended.first_at - ended.begun.at)
        span.set_attributes(
            {
                PROVIDER: ended.provider,
                RESPONSE_MODEL: ended.model,
                INPUT_TOKENS: ended.input_tokens,
                OUTPUT_TOKENS: ended.output_tokens,
                CACHED_TOKENS: ended.cached_tokens,
                FINISH_REASONS: (ended.status,),
            }
        )
        for name, text in ((ERROR, ended.code), (BUDGET, ended.budget), (REASON, ended.reason)):
            if text:
                span.set_attribute(name, text)
        if ended.code:
            span.set_status(Status(StatusCode.ERROR, ended.code))
        span.end(int(ended.at * _NANO))

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            # It waits for the collector.
            await asyncio.get_running_loop().run_in_executor(None, self._provider.shutdown)
