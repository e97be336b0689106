"""The JSON of OpenAI's Responses, as the scripted upstream speaks it. Pure.

Source: OpenAI API reference, "Responses", "Streaming events".
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from fairlead.testing.upstream.behaviours import Answer, HugeLine
from fairlead.testing.upstream.chat import CREATED
from fairlead.testing.upstream.requests import ReceivedRequest

_NO_SUMMARY: dict[str, Any] = {"summary": []}


class Event(NamedTuple):
    """One event: its number, its type, and its JSON."""

    number: int
    type: str
    data: bytes


class Run:
    """A response that is being made. ``groups`` are its events: those of the beginning, then of
    each token with what opens and closes around it, at last those of the end.

    ``reached``: how many groups have been sent to anybody. One in the background outlives its
    connection, and stands still while nobody reads it. ``struck``: the faults that have struck.
    """

    def __init__(self, answer: Answer, request: ReceivedRequest) -> None:
        self.answer = answer
        self.id = f"resp_{request.number}"
        self.background = isinstance(request.json, dict) and request.json.get("background") is True
        self.reached = 0
        self.cancelled = False
        self.struck: set[int] = set()
        self._model = answer.model or request.model
        self._prompt = sum(len(text.split()) for text in request.message_texts())
        self._number = 0
        self._output: list[dict[str, Any]] = []
        self._open: dict[str, Any] | None = None
        self._said = ""
        self.groups = [list(group) for group in self._make()]

    @property
    def tokens(self) -> int:
        """How many there are."""
        return len(self.groups) - 2

    def ended(self) -> bool:
        """Whether it has been sent whole."""
        return self.reached >= len(self.groups)

    def response(self, status: str = "") -> dict[str, Any]:
        """The response object. Its output is there once it has ended."""
        if not status:
            status = "completed" if self.ended() else "in_progress"
            status = "cancelled" if self.cancelled else status
            if status == "completed" and self.answer.finish_reason == "length":
                status = "incomplete"
        ended = status in ("completed", "incomplete")
        return {
            "id": self.id,
            "object": "response",
            "created_at": CREATED,
            "status": status,
            "background": self.background,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"}
            if status == "incomplete"
            else None,
            "model": self._model,
            "output": self._output if ended else [],
            "usage": self._usage() if ended else None,
            **self.answer.chunk_extra,
        }

    def whole(self) -> bytes:
        """The response object as it stands, as JSON."""
        return self._encode(self.response())

    def completed(self) -> bytes:
        """The whole answer as one object."""
        self.reached = len(self.groups)
        return self.whole()

    def cancellation(self) -> Event:
        """How a response ends that somebody has cancelled."""
        return self._event("response.incomplete", response=self.response("cancelled"))

    # -- its events

    def _make(self) -> Iterator[Iterator[Event]]:
        answer = self.answer
        huge = [fault for fault in answer.faults if isinstance(fault, HugeLine)]
        yield self._beginning()
        sent = 0
        for token in self._tokens():
            while huge and huge[0].after <= sent:
                yield self._huge(huge.pop(0).size)
                sent += 1
            yield token
            sent += 1
        yield self._end()

    def _beginning(self) -> Iterator[Event]:
        for type in ("response.created", "response.in_progress"):
            yield self._event(type, response=self.response("in_progress"))

    def _tokens(self) -> Iterator[Iterator[Event]]:
        answer = self.answer
        for text in answer.reasoning_tokens():
            yield self._text("reasoning", "reasoning_text", text)
        for text in answer.text_tokens():
            yield self._text("message", "output_text", text)
        for number, call in enumerate(answer.tool_calls):
            item = {"type": "function_call", "call_id": call.id, "name": call.name}
            yield self._opening({"id": f"fc_{number}", **item, "arguments": ""})
            size = max(1, -(-len(call.arguments) // max(1, call.pieces)))
            for at in range(0, len(call.arguments), size):
                yield self._arguments(call.arguments[at : at + size])

    def _opening(self, item: dict[str, Any]) -> Iterator[Event]:
        yield from self._close()
        self._open, self._said = item, ""
        added = {**item, "status": "in_progress"}
        yield self._event("response.output_item.added", output_index=len(self._output), item=added)

    def _text(self, kind: str, content: str, text: str) -> Iterator[Event]:
        if self._open is None or self._open["type"] != kind:
            item: dict[str, Any] = {"id": f"{kind}_{len(self._output)}", "type": kind}
            item |= {"role": "assistant"} if kind == "message" else _NO_SUMMARY
            yield from self._opening({**item, "content": []})
            part = {"type": content, "text": ""}
            yield self._within("response.content_part.added", part=part)
        self._said += text
        more: dict[str, Any] = {"logprobs": []} if kind == "message" else {}
        yield self._within(
            f"response.{content}.delta", delta=text, **more, **self.answer.delta_extra
        )

    def _arguments(self, text: str) -> Iterator[Event]:
        self._said += text
        yield self._within("response.function_call_arguments.delta", delta=text)

    def _huge(self, size: int) -> Iterator[Event]:
        for event in self._text("message", "output_text", "x"):
            room = size - len(event.data) - len(f"event: {event.type}\ndata: ")
            if event.type.endswith(".delta") and room > 0:
                self._said += "x" * room
                event = event._replace(
                    data=event.data.replace(b'"delta":"x"', b'"delta":"%b"' % (b"x" * (room + 1)))
                )
            yield event

    def _close(self) -> Iterator[Event]:
        item = self._open
        if item is None:
            return
        text = self._said
        if item["type"] == "function_call":
            yield self._within("response.function_call_arguments.done", arguments=text)
            item = {**item, "arguments": text, "status": "completed"}
        else:
            kind = "output_text" if item["type"] == "message" else "reasoning_text"
            part: dict[str, Any] = {"type": kind, "text": text}
            if kind == "output_text":
                part["annotations"] = []
            yield self._within(f"response.{kind}.done", text=text)
            yield self._within("response.content_part.done", part=part)
            item = {**item, "content": [part], "status": "completed"}
        index = len(self._output)
        self._open = None
        self._output.append(item)
        yield self._event("response.output_item.done", output_index=index, item=item)

    def _end(self) -> Iterator[Event]:
        yield from self._close()
        status = "incomplete" if self.answer.finish_reason == "length" else "completed"
        yield self._event(f"response.{status}", response=self.response(status))

    def _within(self, type: str, **fields: Any) -> Event:
        assert self._open is not None
        place: dict[str, Any] = {"item_id": self._open["id"], "output_index": len(self._output)}
        if self._open["type"] != "function_call":
            place["content_index"] = 0
        return self._event(type, **place, **fields)

    def _event(self, type: str, **fields: Any) -> Event:
        number = self._number
        self._number += 1
        data = {"type": type, "sequence_number": number, **fields}
        return Event(number, type, self._encode(data))

    def error(self, error: dict[str, Any]) -> bytes:
        """What reports an error in the middle of a stream."""
        fields = {name: error.get(name) for name in ("code", "message", "param")}
        fields["code"] = fields["code"] or error.get("type")
        return self._encode({"type": "error", "sequence_number": self._number, **fields})

    # -- both

    def _usage(self) -> dict[str, Any]:
        if self.answer.usage is not None:
            return dict(self.answer.usage)
        written = len(self.groups) - 2 if hasattr(self, "groups") else self._written()
        return {
            "input_tokens": self._prompt,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": written,
            "output_tokens_details": {"reasoning_tokens": len(self.answer.reasoning_tokens())},
            "total_tokens": self._prompt + written,
        }

    def _written(self) -> int:
        answer = self.answer
        calls = sum(1 + min(call.pieces, len(call.arguments)) for call in answer.tool_calls)
        return len(answer.reasoning_tokens()) + len(answer.text_tokens()) + calls

    def _encode(self, value: Any) -> bytes:
        if self.answer.wire.ascii:
            return json.dumps(value, separators=(",", ":")).encode()
        return msgspec.json.encode(value)


class Reading(NamedTuple):
    """A response that is streamed to somebody, from after an event on; -1: from the first."""

    run: Run
    after: int = -1
