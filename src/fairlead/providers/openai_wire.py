"""The fold from the chunks of a Chat Completions stream to events. Pure.

What we do not model is kept in ``extra`` of the events, as one JSON object with these fields, each
there only if it has something:

``chunk``
    Fields of the chunk itself. One rides along when it first appears and again whenever its value
    has changed, so that what is the same in every chunk is stored once for the answer. Of ``id``,
    ``object``, ``created``, ``model``, ``system_fingerprint`` and ``service_tier`` only the first
    value that says something is kept. ``obfuscation`` (random padding) is dropped.
``choice``, ``delta``
    Fields of the choice (with ``logprobs``) and of its delta, every time they appear.
``tool``
    Fields of one entry of ``tool_calls``, its ``type`` if that is not ``function``; those of its
    ``function`` under that name.
``usage``
    On a usage event: every field of the usage object but the two that we model.
``others``
    On a done event: what was left over for further choices, ``[{"index", "choice", "delta"}]``.

A field that is ``null`` counts as absent. What comes in a chunk that makes no event waits for the
next event that has room for it: fields of a choice for a delta of that choice, at last ``done``.
When the same field comes once more before that, an empty delta takes the earlier one along (for
fields of the chunk as long as the main part is open; later the newest value is kept).
A refusal is shown as text; its token's ``extra`` says ``delta.refusal`` again, and a relay of the
same dialect then sends that in place of ``content``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import msgspec

from fairlead.errors import UpstreamError, UpstreamProtocol
from fairlead.events.model import (
    MAIN_PART,
    NO_EXTRA,
    Done,
    Event,
    Part,
    PartKind,
    Reasoning,
    Token,
    Tool,
    Usage,
)
from fairlead.policy.tokens import estimate
from fairlead.providers import openai_errors
from fairlead.providers.openai_chunk import (
    ABSENT,
    Choice,
    ChoiceExtras,
    Chunk,
    Delta,
    Extras,
    Fields,
    ToolCall,
    is_null,
    parse,
)
from fairlead.providers.openai_errors import BAD_JSON, Redactor

#: More alternatives than the dialect knows (``n`` is at most 128) are not an answer.
MAX_CHOICES: Final = 128
#: JSON that nests deeper is refused: whoever reads the record later must be able to.
MAX_DEPTH: Final = 64
#: More tokens than this are no count.
MAX_COUNT: Final = 2**53

_ONCE: Final = ("id", "object", "created", "model", "system_fingerprint", "service_tier")
_SAYS_NOTHING: Final = (b"null", b'""')
# A chunk-level field is compared with its last value; longer ones, and those of a server that
# invents names, just ride along.
_MAX_REMEMBERED: Final = 64
_MAX_REMEMBERED_BYTES: Final = 4096
# The texts whose tokens are counted in one go.
_COUNTED_AT_ONCE: Final = 256
_MAX_LEARNING_PAUSE: Final = 63
_PROBE: Final = b"\\u0001"
# What is around the data in a block of one line (WHATWG HTML, section 9.2.5).
_DATA: Final = b"data: "
_END: Final = b"\n\n"

_encode = msgspec.json.Encoder().encode
_text: msgspec.json.Decoder[str] = msgspec.json.Decoder(str)
_count: msgspec.json.Decoder[int] = msgspec.json.Decoder(int)
_object: msgspec.json.Decoder[Fields] = msgspec.json.Decoder(Fields)
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*"|(?P<open>[\[{])|(?P<close>[\]}])', re.DOTALL)


class _Template:
    """The bytes around the text of a delta. A chunk with the same bytes around differs from the one
    before in its text alone, and need not be taken apart again.

    ``block_head``, ``block_tail``: the same of a whole block of the event stream."""

    __slots__ = (
        "block_head",
        "block_least",
        "block_start",
        "block_stop",
        "block_tail",
        "head",
        "kind",
        "least",
        "part",
        "start",
        "stop",
        "tail",
    )

    def __init__(
        self, head: bytes, tail: bytes, kind: type[Token] | type[Reasoning], part: int
    ) -> None:
        self.head = head  # ends with the quotation mark that opens the text
        self.tail = tail  # begins with the one that closes it
        self.least = len(head) + len(tail)
        self.start = len(head) - 1
        self.stop = len(tail) - 1
        self.block_head = _DATA + head
        self.block_tail = tail + _END
        self.block_start = len(_DATA) + self.start
        self.block_stop = -self.stop - len(_END)
        self.block_least = len(self.block_head) + len(self.block_tail)
        self.kind = kind
        self.part = part


class _ChoiceState:
    """How far one choice has come: the parts it has open, and fields that wait for an event."""

    __slots__ = ("finish", "index", "reasoning", "silent", "text", "tool_ids", "tools", "waiting")

    def __init__(self, index: int) -> None:
        self.index = index
        self.text: int | None = MAIN_PART if index == 0 else None
        self.silent = index != 0  # no part of it has been opened
        self.reasoning: int | None = None
        # By the vendor's index, or by call id where it gives none: the part.
        self.tools: dict[int | str, int] = {}
        self.tool_ids: dict[int, str] = {}
        self.finish: str | None = None
        self.waiting: dict[str, Fields] = {}


class ChunkFold:
    """Takes the data objects of one answer, one after the other, and gives its events.

    A whole (not streamed) answer is one object. The events obey
    :class:`~fairlead.events.states.Grammar`: choice 0 writes part 0; reasoning opens a part of its
    own, closed when text or a tool call begins; each tool call opens a part; further choices open
    text parts. A finish reason closes what its choice has open; what comes all the same afterwards
    opens new parts.

    name, model: of the upstream and of what was asked for, for messages. redact: takes secrets out
    of an upstream's words. estimate_input: how many tokens the request has, asked only when the
    upstream does not say.
    """

    def __init__(
        self,
        *,
        name: str = "",
        model: str = "",
        redact: Redactor | None = None,
        estimate_input: Callable[[], int] = lambda: 0,
    ) -> None:
        self._name = name
        self._model = model
        self._redact = redact or Redactor()
        self._estimate_input = estimate_input
        self._choices: dict[int, _ChoiceState] = {}
        self._next_part = MAIN_PART + 1
        self._usage: Fields | None = None
        self._answered_by = ""
        # Chunk-level fields.
        self._not_yet = list(_ONCE)
        self._remembered: dict[str, bytes] = {}
        self._waiting: Fields = {}
        # The estimate of what was written.
        self._texts: list[str] = []
        self._counted = 0
        # The short way.
        self._template: _Template | None = None
        self._template_used = False
        self._learning_pause = 0
        self._learn_after = 0

    @property
    def finished(self) -> bool:
        """Whether there was a choice and every one has given its finish reason."""
        return bool(self._choices) and all(
            state.finish is not None for state in self._choices.values()
        )

    def feed(self, data: bytes, at: int) -> list[Event]:
        """The events of one data object (UTF-8), written at ``at`` (ms since 1970).

        Raises UpstreamProtocol for what is no chunk, and the error that an error object means; the
        answer ends with that, and the fold takes no more.
        """
        template = self._template
        if (
            template is not None
            and data.startswith(template.head)
            and data.endswith(template.tail)
            and len(data) >= template.least
        ):
            try:
                text = _text.decode(data[template.start : len(data) - template.stop])
            except BAD_JSON:
                return self._take(data, at)
            self._template_used = True
            if not text:
                return []
            self._texts.append(text)
            if len(self._texts) >= _COUNTED_AT_ONCE:
                self._count_texts()
            return [template.kind(at, text, template.part)]
        return self._take(data, at)

    def quick(self, block: bytes, at: int) -> Token | Reasoning | None:
        """The event of a whole block of the event stream, if it differs from the chunk before in
        its text alone: what the parser of the stream and :meth:`feed` would give."""
        template = self._template
        if (
            template is None
            or not block.startswith(template.block_head)
            or not block.endswith(template.block_tail)
            or len(block) < template.block_least
        ):
            return None
        try:
            # No line end can be within: JSON's strings have none.
            text = _text.decode(block[template.block_start : template.block_stop])
        except BAD_JSON:
            return None
        if not text:
            return None
        self._template_used = True
        texts = self._texts
        texts.append(text)
        if len(texts) >= _COUNTED_AT_ONCE:
            self._count_texts()
        return template.kind(at, text, template.part)

    def fail(self, data: bytes) -> UpstreamError:
        """The error that an error object stands for."""
        said = openai_errors.complaint(data, self._redact)
        return openai_errors.from_stream(said, name=self._name, model=self._model)

    def end(self, at: int) -> list[Event]:
        """The last events: what is open closes, then usage and done. Call it once, after the last
        object; whether that was enough of an answer, ``finished`` tells."""
        events: list[Event] = []
        for state in self._choices.values():
            if state.finish is None:
                self._close(state, "", at, events)
        events.append(self._usage_event(at))
        main = self._choices.get(0) or _ChoiceState(0)
        extra: dict[str, object] = {**main.waiting}
        if self._waiting:
            extra["chunk"] = self._waiting
        others = [
            {"index": state.index, **state.waiting}
            for state in self._choices.values()
            if state is not main and state.waiting
        ]
        if others:
            extra["others"] = others
        events.append(Done(at, finish=main.finish or "", extra=self._raw(extra)))
        return events

    # -- the long way ------------------------------------------------------------------------------

    def _take(self, data: bytes, at: int) -> list[Event]:
        if self._template_used:
            self._learning_pause = self._learn_after = 0
        self._template = None
        self._template_used = False
        if len(self._texts) >= _COUNTED_AT_ONCE:
            self._count_texts()
        chunk, extras = parse(data, self._redact)
        if not is_null(chunk.error) or bytes(chunk.object) == b'"error"':
            if bytes(chunk.error) not in (b"false", b'""', b"{}"):
                raise self.fail(data)
        events: list[Event] = []
        if self._not_yet or extras is not None:
            self._take_chunk_fields(chunk, extras, at, events)
        if chunk.usage is not None:
            self._usage = chunk.usage
        if chunk.choices is not None:
            for place, choice in enumerate(chunk.choices):
                unknown = None if extras is None else extras.choices[place]
                self._take_choice(choice, place, unknown, at, events)
        if len(events) == 1:
            self._learn(data, events[0])
        return events

    def _take_chunk_fields(
        self, chunk: Chunk, extras: Extras | None, at: int, events: list[Event]
    ) -> None:
        for name in self._not_yet[:]:
            raw = getattr(chunk, name)
            if raw is not ABSENT and bytes(raw) not in _SAYS_NOTHING:
                self._not_yet.remove(name)
                self._waiting[name] = raw
                if name == "model":
                    self._answered_by = _string(raw)
        if extras is None:
            return
        for name, raw in extras.chunk.items():
            value = bytes(raw)
            if self._remembered.get(name) == value:
                continue
            if bytes(self._waiting.get(name, raw)) != value:
                main = self._choices.get(0) or _ChoiceState(0)
                if main.text == MAIN_PART:
                    events.append(Token(at, "", MAIN_PART, self._waiting_for(main)))
            self._waiting[name] = raw
            room = name in self._remembered or len(self._remembered) < _MAX_REMEMBERED
            if room and len(value) <= _MAX_REMEMBERED_BYTES:
                self._remembered[name] = value
            else:
                self._remembered.pop(name, None)

    def _take_choice(
        self,
        choice: Choice,
        place: int,
        unknown: ChoiceExtras | None,
        at: int,
        events: list[Event],
    ) -> None:
        index = place if choice.index is None else choice.index
        state = self._choices.get(index)
        if state is None:
            if not 0 <= index < MAX_CHOICES:
                raise UpstreamProtocol(f"the upstream answered with a choice of index {index}")
            state = self._choices[index] = _ChoiceState(index)
        if unknown is not None:
            if unknown.choice:
                self._wait("choice", unknown.choice, state, at, events)
            if unknown.delta:
                self._wait("delta", unknown.delta, state, at, events)
        if choice.logprobs is not None:
            logprobs = msgspec.Raw(_encode(choice.logprobs))
            self._wait("choice", {"logprobs": logprobs}, state, at, events)
        delta = choice.delta if choice.delta is not None else choice.message
        if delta is not None:
            self._take_delta(delta, state, unknown, at, events)
        if choice.finish_reason:
            state.finish = choice.finish_reason
            if state.silent:
                # An empty answer is one, too.
                state.text = self._open("text", state, at, events)
            self._close(state, choice.finish_reason, at, events)

    def _take_delta(
        self,
        delta: Delta,
        state: _ChoiceState,
        unknown: ChoiceExtras | None,
        at: int,
        events: list[Event],
    ) -> None:
        if reasoning := delta.reasoning_content or delta.reasoning:
            if state.reasoning is None:
                state.reasoning = self._open("reasoning", state, at, events)
            self._texts.append(reasoning)
            extra = self._waiting_for(state)
            events.append(Reasoning(at, reasoning, state.reasoning, extra))
        if delta.content:
            self._say(delta.content, state, at, events)
        if delta.refusal:
            refusal = msgspec.Raw(_encode(delta.refusal))
            state.waiting.setdefault("delta", {})["refusal"] = refusal
            self._say(delta.refusal, state, at, events)
        if delta.tool_calls is not None:
            for place, call in enumerate(delta.tool_calls):
                fields = {} if unknown is None else unknown.tools.get(place, {})
                self._take_tool_call(call, place, fields, state, at, events)

    def _say(self, text: str, state: _ChoiceState, at: int, events: list[Event]) -> None:
        if state.reasoning is not None:
            self._close_reasoning(state, "", at, events)
        if state.text is None:
            state.text = self._open("text", state, at, events)
        self._texts.append(text)
        events.append(Token(at, text, state.text, self._waiting_for(state)))

    def _take_tool_call(
        self,
        call: ToolCall,
        place: int,
        fields: Fields,
        state: _ChoiceState,
        at: int,
        events: list[Event],
    ) -> None:
        call_id = call.id or ""
        function = call.function
        part = self._tool_part(call, call_id, place, state)
        if part is None:
            if state.reasoning is not None:
                self._close_reasoning(state, "", at, events)
            name = (function.name if function is not None else None) or ""
            part = self._open("tool_call", state, at, events, call_id, name)
            # The newest call is the last entry: servers without an index go on with that one.
            key = call.index if call.index is not None else call_id or place
            state.tools.pop(key, None)
            state.tools[key] = part
            state.tool_ids[part] = call_id
            self._texts.append(name)
        if not is_null(call.type) and bytes(call.type) != b'"function"':
            fields = {**fields, "type": call.type}
        text = "" if function is None else _arguments(function.arguments)
        if text or fields:
            self._texts.append(text)
            extra = self._waiting_for(state, fields)
            events.append(Tool(at, text, part, extra))

    def _tool_part(
        self, call: ToolCall, call_id: str, place: int, state: _ChoiceState
    ) -> int | None:
        """The open part that the piece belongs to, or None if it begins another call.

        Some servers give every call index 0, or none: then another id means another call.
        """
        if call.index is not None:
            part = state.tools.get(call.index)
        elif call_id:
            part = state.tools.get(call_id)
        elif place == 0:
            part = next(reversed(state.tools.values()), None)
        else:
            part = state.tools.get(place)
        if part is not None and call_id and state.tool_ids[part] not in ("", call_id):
            return None
        return part

    # -- parts -------------------------------------------------------------------------------------

    def _open(
        self,
        kind: PartKind,
        state: _ChoiceState,
        at: int,
        events: list[Event],
        call_id: str = "",
        name: str = "",
    ) -> int:
        part = self._next_part
        self._next_part += 1
        state.silent = False
        events.append(Part(at, part, "open", kind, state.index, call_id, name))
        return part

    def _close_reasoning(
        self, state: _ChoiceState, finish: str, at: int, events: list[Event]
    ) -> None:
        if state.reasoning is not None:
            events.append(
                Part(at, state.reasoning, "close", "reasoning", state.index, finish=finish)
            )
            state.reasoning = None

    def _close(self, state: _ChoiceState, finish: str, at: int, events: list[Event]) -> None:
        """Close all that the choice has open."""
        self._close_reasoning(state, finish, at, events)
        for part in sorted(state.tool_ids):
            call_id = state.tool_ids[part]
            events.append(Part(at, part, "close", "tool_call", state.index, call_id, finish=finish))
        state.tools.clear()
        state.tool_ids.clear()
        if state.text is not None:
            events.append(Part(at, state.text, "close", "text", state.index, finish=finish))
            state.text = None

    # -- what rides along --------------------------------------------------------------------------

    def _wait(
        self, level: str, fields: Fields, state: _ChoiceState, at: int, events: list[Event]
    ) -> None:
        """Have the fields wait for an event; an empty delta takes those before them along."""
        waiting = state.waiting.get(level, {})
        if any(name in waiting and _adds(waiting[name], raw) for name, raw in fields.items()):
            extra = self._waiting_for(state)
            if state.reasoning is not None:
                events.append(Reasoning(at, "", state.reasoning, extra))
            else:
                if state.text is None:
                    state.text = self._open("text", state, at, events)
                events.append(Token(at, "", state.text, extra))
        state.waiting.setdefault(level, {}).update(fields)

    def _waiting_for(self, state: _ChoiceState, tool: Fields | None = None) -> msgspec.Raw:
        """Everything that waits for an event of this choice; it waits no longer."""
        if not (self._waiting or state.waiting or tool):
            return NO_EXTRA
        extra: dict[str, object] = {}
        if self._waiting:
            extra["chunk"] = self._waiting
        extra.update(state.waiting)
        if tool:
            extra["tool"] = tool
        raw = self._raw(extra)
        self._waiting = {}
        state.waiting = {}
        return raw

    def _raw(self, extra: dict[str, object]) -> msgspec.Raw:
        """The fields as JSON that any reader of the record can decode."""
        if not extra:
            return NO_EXTRA
        data = _encode(extra)
        if not data.isascii():
            try:
                data.decode()
            except UnicodeDecodeError:
                raise UpstreamProtocol("the upstream sent bytes that are not UTF-8") from None
        if data.count(b"[") + data.count(b"{") > MAX_DEPTH and _depth(data) > MAX_DEPTH:
            raise UpstreamProtocol(
                f"the upstream sent JSON that nests deeper than {MAX_DEPTH} levels"
            )
        return msgspec.Raw(data)

    # -- usage -------------------------------------------------------------------------------------

    def _count_texts(self) -> None:
        self._counted += estimate("".join(self._texts))
        self._texts.clear()

    def _usage_event(self, at: int) -> Usage:
        fields = dict(self._usage or {})
        used = _tokens(fields.pop("prompt_tokens", None))
        written = _tokens(fields.pop("completion_tokens", None))
        if written is None:
            self._count_texts()
        return Usage(
            at,
            self._estimate_input() if used is None else used,
            self._counted if written is None else written,
            used is None or written is None,
            self._answered_by or self._model,
            self._raw({"usage": fields} if fields else {}),
            _cached(fields),
        )

    # -- the short way -----------------------------------------------------------------------------

    def _learn(self, data: bytes, event: Event) -> None:
        """Remember the bytes around the text of this chunk, if text is all it brought.

        Where no two chunks are alike, learning is tried less and less often.
        """
        if not isinstance(event, Token | Reasoning) or event.extra is not NO_EXTRA:
            return
        if self._learn_after:
            self._learn_after -= 1
            return
        self._learning_pause = min(_MAX_LEARNING_PAUSE, 2 * self._learning_pause + 1)
        self._learn_after = self._learning_pause
        names = ("content",) if type(event) is Token else ("reasoning_content", "reasoning")
        for name in names:
            found = re.search(rb'"%b":\s*"(?:[^"\\]|\\.)*"' % name.encode(), data, re.DOTALL)
            if found is None:
                continue
            start = data.index(b'"', data.index(b":", found.start()))
            head, tail = data[: start + 1], data[found.end() - 1 :]
            # The proof that this is the place: other bytes here make another text.
            try:
                chunk, _ = parse(head + _PROBE + tail, self._redact)
            except UpstreamProtocol:
                continue
            for choice in chunk.choices or ():
                if choice.delta is not None and getattr(choice.delta, name) == "\x01":
                    self._template = _Template(head, tail, type(event), event.part)
                    return


def _adds(before: msgspec.Raw, after: msgspec.Raw) -> bool:
    """Whether a field that comes once more says more: texts, lists and objects may be pieces."""
    value = bytes(after)
    return value[:1] in (b'"', b"[", b"{") or value != bytes(before)


def _depth(data: bytes) -> int:
    depth = deepest = 0
    for match in _BRACKETS.finditer(data):
        if match["open"]:
            depth += 1
            deepest = max(deepest, depth)
        elif match["close"]:
            depth -= 1
    return deepest


def _string(raw: msgspec.Raw) -> str:
    try:
        return _text.decode(raw)
    except BAD_JSON:
        return ""


def _arguments(raw: msgspec.Raw) -> str:
    """The text of a tool call's arguments; an object is its own text."""
    if is_null(raw):
        return ""
    try:
        return _text.decode(raw)
    except BAD_JSON:
        return bytes(raw).decode("utf-8", "replace")


def _cached(usage: Fields) -> int:
    """How many of the prompt's tokens were in the server's cache, as OpenAI or DeepSeek says."""
    raw = usage.get("prompt_cache_hit_tokens")
    details = usage.get("prompt_tokens_details")
    if raw is None and details is not None:
        try:
            raw = _object.decode(details).get("cached_tokens")
        except BAD_JSON:
            return 0
    return _tokens(raw) or 0


def _tokens(raw: msgspec.Raw | None) -> int | None:
    """A count of tokens, or None for what is none."""
    if raw is None:
        return None
    try:
        count = _count.decode(raw)
    except BAD_JSON:
        return None
    return count if 0 <= count <= MAX_COUNT else None
