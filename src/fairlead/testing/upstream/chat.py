"""The JSON of OpenAI's chat completions, as the scripted upstream speaks it. Pure."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator, Mapping
from hashlib import sha256
from itertools import zip_longest
from typing import Any

import msgspec

from fairlead.testing.upstream.behaviours import Answer, ToolCall, split_tokens
from fairlead.testing.upstream.requests import ReceivedRequest

#: Fixed, so that two runs give the same bytes.
CREATED = 1_700_000_000

_MARK = "\0token\0"
_MARK_JSON = msgspec.json.encode(_MARK)


def error_object(status: int, message: str | None) -> dict[str, Any]:
    """The body of an HTTP error."""
    default, kind, code = _ERRORS.get(status, ("The request failed.", "server_error", None))
    return {
        "error": {"message": message or default, "type": kind, "param": None, "code": code},
    }


_ERRORS: dict[int, tuple[str, str, str | None]] = {
    400: ("We could not parse the JSON body of your request.", "invalid_request_error", None),
    401: ("Incorrect API key provided.", "invalid_request_error", "invalid_api_key"),
    404: ("The model does not exist.", "invalid_request_error", "model_not_found"),
    429: ("Rate limit reached for requests.", "requests", "rate_limit_exceeded"),
    500: ("The server had an error while processing your request.", "server_error", None),
    503: ("The engine is currently overloaded.", "server_error", "overloaded"),
}


def embeddings(body: Mapping[str, Any], model: str) -> bytes:
    """The body of ``POST /v1/embeddings``: of each input four numbers from 0 to 1, which differ
    where the inputs do."""
    given = body.get("input")
    texts = given if isinstance(given, list) else [given]
    if all(isinstance(each, int) for each in texts):
        texts = [texts]
    data = []
    for index, text in enumerate(texts):
        vector = [byte / 255 for byte in sha256(str(text).encode()).digest()[:4]]
        packed = base64.b64encode(struct.pack("<4f", *vector)).decode()
        embedding = packed if body.get("encoding_format") == "base64" else vector
        data.append({"object": "embedding", "index": index, "embedding": embedding})
    read = sum(len(str(text).split()) for text in texts)
    usage = {"prompt_tokens": read, "total_tokens": read}
    return json.dumps({"object": "list", "data": data, "model": model, "usage": usage}).encode()


def models(names: tuple[str, ...]) -> bytes:
    """The body of ``GET /v1/models``."""
    data = [
        {"id": name, "object": "model", "created": CREATED, "owned_by": "fairlead"}
        for name in names
    ]
    return msgspec.json.encode({"object": "list", "data": data})


class Chat:
    """One answer to one request, as JSON."""

    def __init__(self, answer: Answer, request: ReceivedRequest) -> None:
        self._answer = answer
        self._common = {
            "id": f"chatcmpl-{request.number}",
            "created": CREATED,
            "model": answer.model or request.model,
        }
        self._prompt_tokens = sum(len(text.split()) for text in request.message_texts())
        self._shows_usage = request.asks_usage if answer.usage_chunk is None else answer.usage_chunk
        # Text deltas differ in one string: the rest is encoded once per choice and field.
        self._templates: dict[tuple[int, str], tuple[bytes, bytes]] = {}

    # -- streamed ----------------------------------------------------------------------------------

    def openings(self) -> Iterator[bytes]:
        """The chunks that name the role, one per choice."""
        for index in range(1 + len(self._answer.alternatives)):
            yield self._chunk(index, {"role": "assistant", "content": ""})

    def tokens(self) -> Iterator[bytes]:
        """The chunks that carry something: reasoning, content, tool calls."""
        answer = self._answer
        for text in answer.reasoning_tokens():
            yield self._text(0, answer.reasoning_field, text)
        columns = [answer.text_tokens(), *(split_tokens(text) for text in answer.alternatives)]
        for row in zip_longest(*columns):
            for index, text in enumerate(row):
                if text is not None:
                    yield self._text(index, "content", text)
        for number, call in enumerate(answer.tool_calls):
            for delta in _tool_deltas(number, call):
                yield self._chunk(0, {"tool_calls": [delta]})

    def endings(self) -> Iterator[bytes]:
        """The chunks with the finish reasons, and the usage chunk where it is due."""
        for index in range(1 + len(self._answer.alternatives)):
            yield self._chunk(index, {}, finish_reason=self._finish_reason(index))
        if self._shows_usage:
            yield self._encode({**self._head(), "choices": [], "usage": self._usage()})

    def of_line_length(self, length: int) -> bytes:
        """A chunk of that many bytes (at least one with a one-character content)."""
        bare = len(self._text(0, "content", ""))
        return self._text(0, "content", "x" * max(1, length - bare))

    def error(self, error: dict[str, Any]) -> bytes:
        """The chunk that reports an error in the middle of a stream."""
        return self._encode({"error": error})

    def _head(self) -> dict[str, Any]:
        return {**self._common, "object": "chat.completion.chunk", **self._answer.chunk_extra}

    def _chunk(self, index: int, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {
            "index": index,
            "delta": {**delta, **self._answer.delta_extra},
            "logprobs": None,
            "finish_reason": finish_reason,
        }
        # With include_usage, OpenAI gives every chunk but the last an explicit null.
        usage = {"usage": None} if self._shows_usage else {}
        return self._encode({**self._head(), "choices": [choice], **usage})

    def _text(self, index: int, name: str, text: str) -> bytes:
        template = self._templates.get((index, name))
        if template is None:
            before, after = self._chunk(index, {name: _MARK}).split(_MARK_JSON)
            template = self._templates[index, name] = before, after
        return template[0] + self._encode(text) + template[1]

    # -- whole -------------------------------------------------------------------------------------

    def completion(self) -> bytes:
        """The whole answer as one object."""
        answer = self._answer
        first: dict[str, Any] = {"role": "assistant", "content": "".join(answer.text_tokens())}
        if reasoning := "".join(answer.reasoning_tokens()):
            first[answer.reasoning_field] = reasoning
        if answer.tool_calls:
            first["content"] = first["content"] or None
            first["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call in answer.tool_calls
            ]
        messages = [first, *({"role": "assistant", "content": t} for t in answer.alternatives)]
        choices = [
            {
                "index": index,
                "message": {**message, **answer.delta_extra},
                "logprobs": None,
                "finish_reason": self._finish_reason(index),
            }
            for index, message in enumerate(messages)
        ]
        return self._encode(
            {
                **self._common,
                "object": "chat.completion",
                **answer.chunk_extra,
                "choices": choices,
                "usage": self._usage(),
            }
        )

    # -- both --------------------------------------------------------------------------------------

    def _finish_reason(self, index: int) -> str:
        if self._answer.finish_reason is not None:
            return self._answer.finish_reason
        return "tool_calls" if index == 0 and self._answer.tool_calls else "stop"

    def _usage(self) -> dict[str, Any]:
        if self._answer.usage is not None:
            return dict(self._answer.usage)
        completion = sum(1 for _ in self.tokens())
        return {
            "prompt_tokens": self._prompt_tokens,
            "completion_tokens": completion,
            "total_tokens": self._prompt_tokens + completion,
        }

    def _encode(self, value: Any) -> bytes:
        if self._answer.wire.ascii:
            return json.dumps(value, separators=(",", ":")).encode()
        return msgspec.json.encode(value)


def _tool_deltas(index: int, call: ToolCall) -> Iterator[dict[str, Any]]:
    yield {
        "index": index,
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": ""},
    }
    size = max(1, -(-len(call.arguments) // max(1, call.pieces)))
    for at in range(0, len(call.arguments), size):
        yield {"index": index, "function": {"arguments": call.arguments[at : at + size]}}
