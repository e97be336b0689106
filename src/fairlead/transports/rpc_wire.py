"""The events and errors of PROTOCOL.md as the messages of ``proto/fairlead/v1``."""

from __future__ import annotations

import struct
from collections.abc import Hashable, Iterator
from typing import Any

from connectrpc.code import Code
from connectrpc.errors import ConnectError, ErrorDetail
from protobuf import Message, Oneof
from protobuf.wkt import Any as PackedAny
from protobuf.wkt import Duration

from fairlead.dialects import native
from fairlead.engine.answers import Snapshot
from fairlead.errors import FairleadError
from fairlead.events import model
from fairlead.events.meta import GenerationMeta
from fairlead.v1 import answers_pb as pb

#: The code of each error (https://connectrpc.com/docs/protocol#error-codes). ``unavailable`` is
#: what clients try again.
CODES: dict[str, Code] = {
    "bad_request": Code.INVALID_ARGUMENT,
    "bad_position": Code.INVALID_ARGUMENT,
    "unauthenticated": Code.UNAUTHENTICATED,
    "revoked": Code.UNAUTHENTICATED,
    "forbidden": Code.PERMISSION_DENIED,
    "moderated": Code.PERMISSION_DENIED,
    "not_found": Code.NOT_FOUND,
    "conflict": Code.ALREADY_EXISTS,
    "gone": Code.OUT_OF_RANGE,
    "too_large": Code.RESOURCE_EXHAUSTED,
    "unsupported_attachment": Code.INVALID_ARGUMENT,
    "budget_exhausted": Code.RESOURCE_EXHAUSTED,
    "too_many": Code.RESOURCE_EXHAUSTED,
    "internal": Code.INTERNAL,
    "interrupted": Code.UNAVAILABLE,
    "deadline_exceeded": Code.DEADLINE_EXCEEDED,
    "store_corrupt": Code.DATA_LOSS,
    "misconfigured": Code.INTERNAL,
    "plugin_failed": Code.INTERNAL,
    "busy": Code.UNAVAILABLE,
    "draining": Code.UNAVAILABLE,
    "store_unavailable": Code.UNAVAILABLE,
    "identity_unavailable": Code.UNAVAILABLE,
    "upstream_error": Code.UNAVAILABLE,
    "upstream_unavailable": Code.UNAVAILABLE,
    "upstream_refused_key": Code.FAILED_PRECONDITION,
    "upstream_rejected": Code.FAILED_PRECONDITION,
    "upstream_protocol": Code.UNAVAILABLE,
    "upstream_cut": Code.UNAVAILABLE,
    "upstream_rate_limited": Code.UNAVAILABLE,
    "upstream_timeout": Code.UNAVAILABLE,
}

_LENGTH = struct.Struct(">I")
_RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"

#: Shows that the connection lives. It is not of the log.
HEARTBEAT = pb.Event(type="heartbeat").to_binary()


class RpcWire:
    """A stream's events as binary ``Event`` messages, each after its length in four bytes:
    :func:`messages` parts them again. The state is the meta until it has been shown."""

    transport = "rpc"
    key: Hashable | None = "rpc"
    mergeable = native.MERGEABLE
    remembers = False

    def __init__(self, stream: str, meta: GenerationMeta) -> None:
        self._stream = stream
        self._meta = meta
        # The meta is shown in a field of its own.
        self._native = native.State(native.Options(), None, stream)

    def begin(self, offset: int) -> GenerationMeta | None:
        return None if offset else self._meta

    def step(
        self, state: Any, event: model.Event | model.Unknown, position: bytes
    ) -> tuple[Any, bytes]:
        if isinstance(event, model.Unknown | model.Asked | model.Mark):
            return state, b""
        made = self._event(event)
        made.stream = self._stream
        made.position = position.decode()
        if state is not None:
            made.introduction = introduction(state)
        message = made.to_binary()
        return None, _LENGTH.pack(len(message)) + message

    def keeps(self, state: Any) -> bool:
        return False

    def flush(self, state: Any) -> tuple[Any, bytes]:
        return state, b""

    def _event(self, event: model.Event) -> pb.Event:
        match event:
            case model.Token():
                return _event("token", pb.Token(text=event.text, part=event.part))
            case model.Thinking():
                thinking = pb.Thinking(
                    status=event.status,
                    message=event.message,
                    provider=event.provider,
                    model=event.model,
                    position=event.position,
                )
                return _event("thinking", thinking)
            case model.Sources():
                found = pb.Sources(sources=[source(s) for s in event.sources])
                return _event("sources", found)
            case model.Reset():
                return _event("reset", pb.Reset(reason=event.reason, text=event.text))
            case model.Done():
                done = pb.Done(status=event.status, reason=event.reason, finish=event.finish)
                return _event("done", done)
            case model.Error():
                return _event("error", error(event))
            case _:
                (frame,) = native.step(self._native, event)[1]
                return _event(frame.event.decode(), frame.data.decode())


def _event(type: str, value: Message | str) -> pb.Event:
    # mypy takes the field of a Oneof for any text, where the message wants a literal.
    chosen: Any = Oneof("json" if isinstance(value, str) else type, value)
    return pb.Event(type=type, event=chosen)


def messages(data: bytes) -> Iterator[bytes]:
    """The binary messages that :class:`RpcWire` put behind one another."""
    at = 0
    while at < len(data):
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        yield data[at : at + length]
        at += length


def introduction(meta: GenerationMeta) -> pb.Introduction:
    """What an answer is."""
    return pb.Introduction(
        conversation_id=meta.conversation,
        message_id=meta.message,
        provider=meta.provider,
        model=meta.model,
        notice=meta.notice,
    )


def source(s: model.Source) -> pb.Source:
    """A source as readers see it."""
    begin, end = s.span
    return pb.Source(
        id=s.id,
        title=s.title,
        address=s.address,
        heading=s.heading,
        begin=begin,
        end=end,
        score=s.score,
        snippet=s.snippet,
    )


def error(event: model.Error) -> pb.Error:
    """The bad end of an answer."""
    made = pb.Error(error=event.error, code=event.code, retryable=event.retryable)
    if event.retry_after is not None:
        made.retry_after = event.retry_after
    return made


def answer(snapshot: Snapshot) -> pb.Answer:
    """An answer as a whole."""
    found, meta = snapshot.answer, snapshot.meta
    made = pb.Answer(
        stream=snapshot.info.spec.id,
        status=found.status,
        text=found.text,
        reasoning=found.reasoning,
        sources=[source(s) for s in found.sources],
        position=str(snapshot.position) if snapshot.position else "",
        introduction=introduction(meta),
        created=snapshot.info.created,
    )
    if found.usage is not None:
        made.usage = pb.Usage(
            input_tokens=found.usage.input_tokens,
            output_tokens=found.usage.output_tokens,
            estimated=found.usage.estimated,
        )
    if found.done is not None:
        made.reason = found.done.reason
    if found.error is not None:
        made.error = error(found.error)
    return made


def failure(problem: FairleadError, position: str = "") -> ConnectError:
    """A call's error. Its details: an ``Error``, and a ``google.rpc.RetryInfo`` where it is known
    when to try again, which the libraries of gRPC understand."""
    detail = pb.Error(
        error=problem.message,
        code=problem.code,
        retryable=problem.retryable,
        position=position or str(problem.details.get("first", "")),
    )
    details: list[Message | ErrorDetail] = [detail]
    if problem.retry_after is not None:
        detail.retry_after = problem.retry_after
        details.append(_retry_info(problem.retry_after))
    return ConnectError(CODES[problem.code], problem.message, details)


def _retry_info(seconds: float) -> PackedAny:
    # google/rpc/error_details.proto: message RetryInfo { Duration retry_delay = 1; }
    whole = int(seconds)
    delay = Duration(seconds=whole, nanos=int((seconds - whole) * 1e9)).to_binary()
    return PackedAny(type_url=_RETRY_INFO, value=b"\x0a" + bytes([len(delay)]) + delay)
