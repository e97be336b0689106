"""The fold from the events of a Responses stream to events. Pure.

The text of all messages is the answer's text. Reasoning, or what a vendor shows of it as a
summary, is a part that opens with its first piece; what the vendor gives of it in encrypted form is
its signature. A call of a tool is a part; the text that a custom tool is called with becomes the
argument ``input`` (:mod:`fairlead.dialects.custom_tool`). A picture is media. Addresses that a text
cites are sources, where the answer has none of ours. What a hosted tool does is told as what is
being done.

In ``extra`` the words are those of Chat Completions, as :mod:`fairlead.providers.openai_wire` keeps
them: a refusal, log-probabilities, details of the usage.

Source: OpenAI API reference, "Responses", "Streaming events".
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any, ClassVar, Final, Literal

import msgspec

from fairlead.errors import UpstreamCut, UpstreamError, UpstreamProtocol
from fairlead.events.model import (
    MAIN_PART,
    NO_EXTRA,
    Done,
    Event,
    Mark,
    Media,
    Part,
    Reasoning,
    Source,
    Sources,
    Thinking,
    Token,
    Tool,
    Usage,
)
from fairlead.policy.tokens import estimate
from fairlead.providers import openai_errors
from fairlead.providers.openai_errors import BAD_JSON, Redactor
from fairlead.providers.openai_responses_event import (
    MAX_COUNT,
    OutputItem,
    Reported,
    Response,
    Said,
    cached_tokens,
    count,
    is_object,
    read,
    read_whole,
)

#: Items that may be open at once, and sources that are kept.
_MAX_OPEN, _MAX_SOURCES = 256, 256
_COUNTED_AT_ONCE: Final = 256
#: Events of the upstream between two marks: so many are read again at most.
MARK_EVERY: Final = 64

#: What a hosted tool does, by the beginning of its events' types.
_DOING: Final = {
    "response.web_search_call.searching": ("retrieving", "Searching the web…"),
    "response.file_search_call.searching": ("retrieving", "Searching the files…"),
    "response.code_interpreter_call.interpreting": ("working", "Running code…"),
    "response.image_generation_call.generating": ("working", "Drawing…"),
    "response.mcp_call.in_progress": ("working", "Calling a tool…"),
}
#: The vendor's word for why an answer ends early, in the words of Chat Completions.
_FINISH: Final = {"max_output_tokens": "length", "content_filter": "content_filter"}

Kind = Literal["message", "reasoning", "call", "custom", "other"]
_KINDS: Final[dict[str, Kind]] = {
    "message": "message",
    "reasoning": "reasoning",
    "function_call": "call",
    "custom_tool_call": "custom",
}

_encode = msgspec.json.Encoder().encode


class _Item(msgspec.Struct, omit_defaults=True):
    """An item of the output that is being written. ``part`` is 0 where none is open for it;
    ``said``: a piece of it has come."""

    kind: Kind
    part: int = MAIN_PART
    call_id: str = ""
    said: bool = False


class Place(msgspec.Struct, omit_defaults=True):
    """Where the fold stands: all that it needs to go on. ``last`` is the number of the last event,
    -1 before the first; ``counted`` the tokens written so far, by estimate."""

    id: str = ""
    last: int = -1
    next_part: int = MAIN_PART + 1
    items: dict[int, _Item] = {}
    called: bool = False
    model: str = ""
    counted: int = 0
    cited: tuple[Source, ...] = ()


_place = msgspec.json.Decoder(Place)


class ResponsesFold:
    """Takes the data objects of one response, one after the other, and gives its events.

    A whole (not streamed) response is one object. name, model: of the upstream and of what was
    asked for, for messages. redact: takes secrets out of an upstream's words. estimate_input: how
    many tokens the request has, asked only when the upstream does not say. cites: whether what a
    text cites is the answer's sources. place: where an earlier fold stood, to go on from there.
    mark: makes a mark of where the fold stands, written at a time (ms); one is given as soon as the
    response is known, and after every :data:`MARK_EVERY` of its events.
    """

    def __init__(
        self,
        *,
        name: str = "",
        model: str = "",
        redact: Redactor | None = None,
        estimate_input: Callable[[], int] = lambda: 0,
        cites: bool = True,
        place: bytes = b"",
        mark: Callable[[msgspec.Raw, int], Mark] | None = None,
    ) -> None:
        self._name = name
        self._model = model
        self._redact = redact or Redactor()
        self._estimate_input = estimate_input
        self._cites = cites
        self._at = Place() if not place else self._restored(place)
        # After what was read before, nothing may be missing.
        self._rejoins = bool(place)
        self._mark = mark
        # The first one names the response.
        self._marked = self._at.last if place else -MARK_EVERY - 1
        self._texts: list[str] = []
        self._ended = False
        #: Whether the upstream has said itself that it failed.
        self.failed = False

    @property
    def finished(self) -> bool:
        """Whether the response has ended."""
        return self._ended

    @property
    def id(self) -> str:
        """The response's id there; empty until it has said it."""
        return self._at.id

    @property
    def last(self) -> int:
        """The number of the last event; -1 before the first, and where they have none."""
        return self._at.last

    def place(self) -> msgspec.Raw:
        """Where it stands, for another fold to go on from."""
        self._count_texts()
        return msgspec.Raw(_encode(self._at))

    def rejoin(self) -> None:
        """The next event comes over another connection, and follows the last one or repeats it."""
        self._rejoins = True

    def feed(self, data: bytes, at: int) -> list[Event]:
        """The events of one data object (UTF-8), written at ``at`` (ms since 1970).

        Raises UpstreamProtocol for what is no event, and the error that an error object means; the
        answer ends with that, and the fold takes no more.
        """
        try:
            event = read(data)
        except BAD_JSON as error:
            raise self._unreadable(error) from None
        if event.object == "response":
            return self._take_whole(data, at)
        if self._ended or not self._is_next(event.sequence_number):
            return []
        events: list[Event] = []
        take = self._TAKES.get(event.type)
        if take is not None:
            take(self, event, at, events)
        elif event.type in _DOING:
            status, message = _DOING[event.type]
            events.append(Thinking(at, status, message))
        elif event.type == "error":
            raise self.fail(data)
        elif not event.type:
            raise UpstreamProtocol(
                "the upstream sent what is no event of a response:"
                f" {self._redact.excerpt(data, 100)}"
            )
        if self._mark is not None and self._at.last - self._marked >= MARK_EVERY:
            if self._at.id and not self._ended:
                self._marked = self._at.last
                events.append(self._mark(self.place(), at))
        return events

    def fail(self, data: bytes) -> UpstreamError:
        """The error that an error object stands for."""
        self.failed = True
        said = openai_errors.complaint(data, self._redact)
        return openai_errors.from_stream(said, name=self._name, model=self._model)

    def end(self, at: int) -> list[Event]:
        """Nothing: the response itself says its end."""
        return []

    # -- order -------------------------------------------------------------------------------------

    def _is_next(self, number: int | None) -> bool:
        """Whether an event is to be taken; one that was taken before is not."""
        if number is None:
            return True
        place = self._at
        if number <= place.last:
            return False
        if self._rejoins and number != place.last + 1:
            raise UpstreamProtocol(
                f"the upstream {self._name!r} goes on with event {number} of a response after"
                f" {place.last}: what stands between is missing"
            )
        if number > MAX_COUNT:
            raise UpstreamProtocol(f"the upstream numbers an event {number}")
        self._rejoins = False
        place.last = number
        return True

    # -- the response ------------------------------------------------------------------------------

    def _take_state(self, event: Said, at: int, events: list[Event]) -> None:
        response = event.response
        if response is not None:
            self._at.id = self._at.id or response.id or ""
            self._at.model = self._at.model or response.model or ""

    def _take_end(self, event: Said, at: int, events: list[Event]) -> None:
        self._finish(event.response or Response(), event.type.rpartition(".")[2], at, events)

    def _take_whole(self, data: bytes, at: int) -> list[Event]:
        try:
            response = read_whole(data)
        except BAD_JSON as error:
            raise self._unreadable(error) from None
        events: list[Event] = []
        if response.status in ("completed", "incomplete", "failed", "cancelled"):
            self._at.model = response.model or ""
            for index, item in enumerate(response.output):
                self._close_item(index, item, at, events)
            self._finish(response, response.status, at, events)
        return events

    def _finish(self, response: Response, status: str, at: int, events: list[Event]) -> None:
        status = response.status or status
        if status == "failed":
            raise self.fail(b'{"error":%b}' % bytes(response.error))
        if status == "cancelled":
            self.failed = True
            raise UpstreamCut(
                f"the answer of the upstream {self._name!r} was cancelled there",
                upstream=self._name,
            )
        finish = "tool_calls" if self._at.called else "stop"
        if status == "incomplete":
            reason = (
                "" if response.incomplete_details is None else response.incomplete_details.reason
            )
            finish = _FINISH.get(reason or "", reason or "incomplete")
        for item in self._at.items.values():
            self._close_part(item, at, events, finish=finish)
        self._at.items.clear()
        events.append(Part(at, MAIN_PART, "close", "text", finish=finish))
        events.append(self._usage(response, at))
        events.append(Done(at, finish=finish))
        self._ended = True

    def _usage(self, response: Response, at: int) -> Usage:
        usage = response.usage or Reported()
        used, written = count(usage.input_tokens), count(usage.output_tokens)
        if written is None:
            self._count_texts()
        fields = {
            name: raw
            for name, raw in (
                ("prompt_tokens_details", usage.input_tokens_details),
                ("completion_tokens_details", usage.output_tokens_details),
            )
            if is_object(raw)
        }
        return Usage(
            at,
            self._estimate_input() if used is None else used,
            self._at.counted if written is None else written,
            used is None or written is None,
            self._at.model or self._model,
            msgspec.Raw(_encode({"usage": fields})) if fields else NO_EXTRA,
            cached_tokens(usage.input_tokens_details),
        )

    # -- items -------------------------------------------------------------------------------------

    def _take_item(self, event: Said, at: int, events: list[Event]) -> None:
        if event.item is not None and event.output_index is not None:
            self._open_item(event.output_index, event.item, at, events)

    def _take_item_end(self, event: Said, at: int, events: list[Event]) -> None:
        if event.item is not None and event.output_index is not None:
            self._close_item(event.output_index, event.item, at, events)

    def _open_item(self, index: int, given: OutputItem, at: int, events: list[Event]) -> _Item:
        kind = _KINDS.get(given.type, "other")
        item = _Item(kind, call_id=given.call_id or "")
        if not 0 <= index <= MAX_COUNT or len(self._at.items) >= _MAX_OPEN:
            raise UpstreamProtocol(
                f"the upstream opened item {index} of a response while"
                f" {len(self._at.items)} are open"
            )
        self._at.items[index] = item
        if kind in ("call", "custom"):
            self._at.called = True
            name = given.name or ""
            item.part = self._new_part()
            events.append(Part(at, item.part, "open", "tool_call", call_id=item.call_id, name=name))
            self._texts.append(name)
            if kind == "custom":
                events.append(Tool(at, '{"input":"', item.part))
        return item

    def _close_item(self, index: int, given: OutputItem, at: int, events: list[Event]) -> None:
        item = self._at.items.get(index) or self._open_item(index, given, at, events)
        del self._at.items[index]
        if not item.said:
            self._say_whole(item, given, at, events)
        if given.type == "image_generation_call" and given.result:
            self._picture(given, at, events)
        signature = (given.encrypted_content or "") if item.kind == "reasoning" else ""
        if signature and item.part == MAIN_PART:
            self._reasoning_part(item, at, events)
        self._close_part(item, at, events, signature=signature)
        if item.kind == "message" and self._at.cited and self._cites:
            events.append(Sources(at, self._at.cited))

    def _say_whole(self, item: _Item, given: OutputItem, at: int, events: list[Event]) -> None:
        """What a server that sends no pieces has said at once."""
        match item.kind:
            case "message":
                for content in given.content or ():
                    if content.text:
                        self._text(item, content.text, at, events)
                    if content.refusal:
                        self._refusal(item, content.refusal, at, events)
            case "reasoning":
                said = [each.text for each in given.content or given.summary or () if each.text]
                if said:
                    self._reasoning(item, "\n\n".join(said), at, events)
            case "call":
                self._tool(item, given.arguments or "", at, events)
            case "custom":
                self._tool(item, _within_json(given.input or ""), at, events)
            case _:
                pass

    def _close_part(
        self,
        item: _Item,
        at: int,
        events: list[Event],
        *,
        finish: str = "",
        signature: str = "",
    ) -> None:
        if item.part == MAIN_PART:
            return
        if item.kind == "reasoning":
            events.append(
                Part(at, item.part, "close", "reasoning", signature=signature, finish=finish)
            )
        else:
            if item.kind == "custom":
                events.append(Tool(at, '"}', item.part))
            events.append(
                Part(at, item.part, "close", "tool_call", call_id=item.call_id, finish=finish)
            )
        item.part = MAIN_PART

    def _picture(self, given: OutputItem, at: int, events: list[Event]) -> None:
        try:
            data = base64.b64decode(given.result or "", validate=True)
        except binascii.Error:
            raise UpstreamProtocol("the upstream sent a picture that is not base64") from None
        part = self._new_part()
        type = f"image/{given.output_format or 'png'}"
        events.append(Part(at, part, "open", "media"))
        events.append(Media(at, part, type, data))
        events.append(Part(at, part, "close", "media"))

    def _new_part(self) -> int:
        part = self._at.next_part
        self._at.next_part += 1
        return part

    # -- pieces ------------------------------------------------------------------------------------

    def _item(self, event: Said, kind: Kind) -> _Item:
        """The item that a piece belongs to; some servers begin it without a word."""
        index = event.output_index or 0
        item = self._at.items.get(index)
        if item is None or item.kind != kind:
            if kind not in ("message", "reasoning"):
                raise UpstreamProtocol(
                    f"the upstream sent {event.type!r} for item {index}, which is none of that kind"
                )
            item = self._at.items[index] = _Item(kind)
        return item

    def _take_text(self, event: Said, at: int, events: list[Event]) -> None:
        extra = NO_EXTRA
        if event.logprobs:
            extra = msgspec.Raw(_encode({"choice": {"logprobs": {"content": event.logprobs}}}))
        self._text(self._item(event, "message"), event.delta or "", at, events, extra)

    def _take_refusal(self, event: Said, at: int, events: list[Event]) -> None:
        self._refusal(self._item(event, "message"), event.delta or "", at, events)

    def _take_reasoning(self, event: Said, at: int, events: list[Event]) -> None:
        self._reasoning(self._item(event, "reasoning"), event.delta or "", at, events)

    def _take_section(self, event: Said, at: int, events: list[Event]) -> None:
        """Another paragraph of a summary."""
        item = self._item(event, "reasoning")
        if event.summary_index and item.said:
            self._reasoning(item, "\n\n", at, events)

    def _take_arguments(self, event: Said, at: int, events: list[Event]) -> None:
        self._tool(self._item(event, "call"), event.delta or "", at, events)

    def _take_input(self, event: Said, at: int, events: list[Event]) -> None:
        item = self._item(event, "custom")
        self._tool(item, _within_json(event.delta or ""), at, events)

    def _take_annotation(self, event: Said, at: int, events: list[Event]) -> None:
        cited = event.annotation
        if cited is None or not cited.url or len(self._at.cited) >= _MAX_SOURCES:
            return
        if any(source.address == cited.url for source in self._at.cited):
            return
        span = (cited.start_index or 0, cited.end_index or 0)
        source = Source(cited.url, cited.title or cited.url, cited.url, span, 0.0, "")
        self._at.cited = (*self._at.cited, source)

    def _text(
        self, item: _Item, text: str, at: int, events: list[Event], extra: msgspec.Raw = NO_EXTRA
    ) -> None:
        if text:
            item.said = True
            self._note(text)
            events.append(Token(at, text, MAIN_PART, extra))

    def _refusal(self, item: _Item, text: str, at: int, events: list[Event]) -> None:
        self._text(item, text, at, events, msgspec.Raw(_encode({"delta": {"refusal": text}})))

    def _reasoning_part(self, item: _Item, at: int, events: list[Event]) -> None:
        item.part = self._new_part()
        events.append(Part(at, item.part, "open", "reasoning"))

    def _reasoning(self, item: _Item, text: str, at: int, events: list[Event]) -> None:
        if not text:
            return
        if item.part == MAIN_PART:
            self._reasoning_part(item, at, events)
        item.said = True
        self._note(text)
        events.append(Reasoning(at, text, item.part))

    def _tool(self, item: _Item, text: str, at: int, events: list[Event]) -> None:
        if text:
            item.said = True
            self._note(text)
            events.append(Tool(at, text, item.part))

    def _note(self, text: str) -> None:
        self._texts.append(text)
        if len(self._texts) >= _COUNTED_AT_ONCE:
            self._count_texts()

    def _count_texts(self) -> None:
        if self._texts:
            self._at.counted += estimate("".join(self._texts))
            self._texts.clear()

    # -- what cannot be read -----------------------------------------------------------------------

    def _unreadable(self, error: Exception) -> UpstreamProtocol:
        return UpstreamProtocol(
            f"the upstream {self._name!r} sent an event that cannot be read"
            f" ({self._redact.excerpt(str(error), 100)})",
            upstream=self._name,
        )

    def _restored(self, place: bytes) -> Place:
        try:
            return _place.decode(place)
        except BAD_JSON:
            raise UpstreamProtocol("where the answer was interrupted cannot be read") from None

    _Take = Callable[["ResponsesFold", Said, int, list[Event]], None]
    _TAKES: ClassVar[dict[str, Any]] = {
        "response.output_text.delta": _take_text,
        "response.refusal.delta": _take_refusal,
        "response.reasoning_text.delta": _take_reasoning,
        "response.reasoning_summary_text.delta": _take_reasoning,
        "response.reasoning_summary_part.added": _take_section,
        "response.function_call_arguments.delta": _take_arguments,
        "response.custom_tool_call_input.delta": _take_input,
        "response.output_text.annotation.added": _take_annotation,
        "response.output_item.added": _take_item,
        "response.output_item.done": _take_item_end,
        "response.created": _take_state,
        "response.queued": _take_state,
        "response.in_progress": _take_state,
        "response.completed": _take_end,
        "response.incomplete": _take_end,
        "response.failed": _take_end,
        "response.cancelled": _take_end,
    }


def _within_json(text: str) -> str:
    """The text as it stands between the quotation marks of a JSON string."""
    return _encode(text)[1:-1].decode()
