"""A session of OpenAI's Realtime API, in text.

Client events in, acts out: what each asks of the engine, as data, or what to say at once. The
events of an answer go through its :class:`Reply`, which makes the server events of them and keeps
the conversation. Whoever owns the connection carries both. Nothing here waits, reads or writes.

Every response is a stream of its own, named by the response's id. What follows an answer goes on
from what its client was shown: of a response that was cancelled, what had been sent by then, and of
an item that was truncated, what the client says that it showed.

Source: OpenAI API reference, "Realtime client events", "Realtime server events".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec

from fairlead.dialects import openai_realtime as dialect
from fairlead.dialects.openai_body import decoded
from fairlead.engine.ask import Ask
from fairlead.errors import BadRequest, Busy, Conflict, FairleadError, NotFound, TooLarge
from fairlead.events.meta import GenerationMeta
from fairlead.events.model import MAIN_PART, Event, Token, Unknown
from fairlead.policy.budgets import Standing
from fairlead.ports.provider import Vendor
from fairlead.protocols.realtime_items import (
    Conversation,
    Given,
    Item,
    created,
    no_audio,
    turns,
    written,
)
from fairlead.protocols.realtime_settings import (
    DEFAULTS,
    Settings,
    Wanted,
    parameters,
    repeated,
)

#: What a socket is asked for, and is opened as.
SUBPROTOCOL = "realtime"

#: What of an item names one that there is.
_REFERENCE = "item_reference"
_MAX_EVENT_ID = 512


class Bounds(NamedTuple):
    """What one session may hold: the ``bytes`` of a client event without pictures, the ``items``
    and ``item_bytes`` of its conversation, and the ``responses`` that are written at once."""

    bytes: int
    item_bytes: int
    items: int = 2000
    responses: int = 8


class Answer(NamedTuple):
    """Start the answer to ``ask``, and give its events to ``reply``."""

    ask: Ask
    reply: Reply


class Cancel(NamedTuple):
    """Stop the answer of ``reply``, and go on once that has ended."""

    reply: Reply


class Say(NamedTuple):
    """Send these events; there is nothing to do."""

    events: list[bytes]


Act = Answer | Cancel | Say


class Head(msgspec.Struct):
    """What every client event has."""

    type: str
    event_id: str | None = None


class _Update(msgspec.Struct):
    session: Settings


class _Create(msgspec.Struct):
    item: Given
    previous_item_id: str | None = None


class _Named(msgspec.Struct):
    item_id: str


_Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]


class _Truncate(msgspec.Struct):
    item_id: str
    content_index: _Count
    audio_end_ms: _Count | None = None
    text_end: _Count | None = None


class _Respond(msgspec.Struct):
    response: Wanted | None = None


class _Stop(msgspec.Struct):
    response_id: str | None = None


_head = msgspec.json.Decoder(Head)
_encode = msgspec.json.Encoder().encode

T = TypeVar("T")


class Session:
    """One client's session with ``model``. ``name`` makes random ids; ``expires_at``: when the
    session ends, in seconds since 1970; ``orphan_window`` of its answers, as in
    :class:`~fairlead.engine.ask.Ask`."""

    def __init__(
        self,
        model: str,
        *,
        bounds: Bounds,
        name: Callable[[], str],
        expires_at: float,
        settings: Settings | None = None,
        orphan_window: float | None = None,
    ) -> None:
        self.id = f"sess_{name()}"
        self.model = model
        self.replies: dict[str, Reply] = {}
        self._name = name
        self._bounds = bounds
        self._expires_at = int(expires_at)
        self._orphan_window = orphan_window
        self._said = 0
        self._settings = DEFAULTS | (settings.given("session") if settings is not None else {})
        self._conversation = Conversation(f"conv_{name()}", bounds.items, bounds.item_bytes)
        #: The response that the conversation gets, from its start to its end.
        self._active: Reply | None = None

    # -- what the client says

    def opening(self) -> bytes:
        """The event that a session begins with."""
        return self._event("session.created", session=self.object())

    def object(self) -> dict[str, Any]:
        """The session, as the vendor describes it."""
        return {
            "type": "realtime",
            "object": "realtime.session",
            "id": self.id,
            "model": self.model,
            "expires_at": self._expires_at,
            **self._settings,
        }

    def receive(self, data: str | bytes) -> Act:
        """What a client event asks for. One that is wrong asks for an error event."""
        cause: str | None = None
        try:
            if isinstance(data, bytes):
                raise BadRequest("an event is a message of text: JSON")
            raw = data.encode("utf-8", "surrogatepass")
            head = decoded(raw, _head)
            if head.event_id is not None:
                cause = head.event_id[:_MAX_EVENT_ID]
            act = _ACTS.get(head.type)
            if act is None:
                raise BadRequest(
                    f"{head.type[:40]!r} is no type of a client event; there are: "
                    f"{', '.join(_ACTS)}",
                    param="type",
                )
            if head.type != "conversation.item.create" and len(raw) > self._bounds.bytes:
                raise self._too_large()
            made = act(self, raw, cause)
        except FairleadError as error:
            return Say([self.refusal(error, cause)])
        return Say(made) if isinstance(made, list) else made

    def refusal(self, error: FairleadError, cause: str | None = None) -> bytes:
        """The event that says that something could not be done."""
        return dialect.error_event(error, self._event_id(), cause)

    def limits(self, standings: Sequence[Standing], now: float) -> bytes | None:
        """The event that says how budgets stand at ``now`` (seconds since 1970), of each unit that
        of which the smallest share is left; None: there are none that the vendor has a word for."""
        told: list[dict[str, Any]] = []
        for unit in ("requests", "tokens"):
            found = [each for each in standings if each.budget.unit == unit]
            if found:
                least = min(found, key=lambda each: each.remaining / each.budget.limit)
                told.append(
                    {
                        "name": unit,
                        "limit": least.budget.limit,
                        "remaining": least.remaining,
                        "reset_seconds": round(max(0.0, least.refills - now), 3),
                    }
                )
        return self._event("rate_limits.updated", rate_limits=told) if told else None

    # -- the session

    def _update(self, raw: bytes, cause: str | None) -> list[bytes]:
        self._settings |= self._said_of(decoded(raw, _UPDATE).session, "session")
        return [self._event("session.updated", session=self.object())]

    def _said_of(self, settings: Settings, within: str) -> dict[str, Any]:
        if settings.model and settings.model != self.model:
            raise BadRequest(
                f"the model of a session is not changed: it is {self.model!r}; open another "
                "session for another one",
                param=f"{within}.model",
            )
        return settings.given(within)

    # -- items

    def _create(self, raw: bytes, cause: str | None) -> list[bytes]:
        asked = decoded(raw, _CREATE)
        item = created(asked.item, f"item_{self._name()}", "item")
        pictures = sum(map(len, _pictures(item)))
        if len(raw) - pictures > self._bounds.bytes:
            raise self._too_large()
        before = self._conversation.insert(item, asked.previous_item_id)
        return self.added(item, before) + self.finished(item, before)

    def _retrieve(self, raw: bytes, cause: str | None) -> list[bytes]:
        id = decoded(raw, _NAMED).item_id
        item = self._conversation.find(id, "item_retrieve_invalid_item_id")
        return [self._event("conversation.item.retrieved", item=item.fields)]

    def _delete(self, raw: bytes, cause: str | None) -> list[bytes]:
        id = decoded(raw, _NAMED).item_id
        self._conversation.remove(id)
        return [self._event("conversation.item.deleted", item_id=id)]

    def _truncate(self, raw: bytes, cause: str | None) -> list[bytes]:
        asked = decoded(raw, _TRUNCATE)
        word = "item_truncate_invalid_item_id"
        item = self._conversation.find(asked.item_id, word)
        if item.fields.get("role") != "assistant":
            raise BadRequest(
                f"the item {item.id[:40]!r} is no message of an answer: only those are truncated",
                param="item_id",
                vendor_code=word,
            )
        if asked.content_index:
            raise BadRequest("'content_index' must be 0", param="content_index")
        if asked.audio_end_ms is None and asked.text_end is None:
            raise BadRequest(
                "'audio_end_ms' is missing, or 'text_end' in its place", param="audio_end_ms"
            )
        cut = _Cut(asked.audio_end_ms, asked.text_end)
        if item.finished:
            self._conversation.replace(cut.made(item))
        else:
            for reply in self.replies.values():
                reply.cut(item.id, cut)
        told = {"audio_end_ms": asked.audio_end_ms or 0}
        if asked.text_end is not None:
            told["text_end"] = asked.text_end
        return [
            self._event("conversation.item.truncated", item_id=item.id, content_index=0, **told)
        ]

    def added(self, item: Item, before: str | None) -> list[bytes]:
        """The event that says that the conversation has another item."""
        made = {"previous_item_id": before, "item": item.fields}
        return [self._event("conversation.item.added", **made)]

    def finished(self, item: Item, before: str | None) -> list[bytes]:
        """The event that says that an item is complete."""
        made = {"previous_item_id": before, "item": item.fields}
        return [self._event("conversation.item.done", **made)]

    # -- responses

    def _respond(self, raw: bytes, cause: str | None) -> Answer:
        wanted = decoded(raw, _RESPOND).response or Wanted()
        settings = self._settings | self._said_of(wanted, "response")
        apart = wanted.apart
        if self._active is not None and not apart:
            raise Conflict(
                "the conversation has a response that is being written: cancel it, or wait for it",
                vendor_code="conversation_already_has_active_response",
            )
        if len(self.replies) >= self._bounds.responses:
            raise Busy(
                f"{self._bounds.responses} responses are being written, which is the most of one "
                "session"
            )
        said = self._context(wanted)
        asked = turns(settings["instructions"], said)
        if not asked:
            raise BadRequest("there is nothing to answer yet: add an item to the conversation")
        fields = {
            **repeated(settings),
            "conversation_id": None if apart else self._conversation.id,
            "metadata": wanted.labels(),
        }
        words = {**settings, "model": self.model, "input": [item.fields for item in said]}
        reply = Reply(self, cause, dialect.Options(fields), None if apart else self._conversation)
        ask = Ask(
            model=self.model,
            turns=asked,
            parameters=parameters(settings),
            vendor=Vendor(dialect.NAME, _encode(words)),
            orphan_window=self._orphan_window,
        )
        if not apart:
            self._active = reply
        return Answer(ask, reply)

    def _context(self, wanted: Wanted) -> list[Item]:
        """What a response answers."""
        if not isinstance(wanted.input, list):
            return [item for item in self._conversation.items if item.turn is not None]
        found: list[Item] = []
        for number, given in enumerate(wanted.input):
            where = f"response.input[{number}]"
            if given.type == _REFERENCE:
                found.append(self._conversation.find(given.id or "", param=f"{where}.id"))
            else:
                found.append(created(given, f"item_{self._name()}", where))
        return found

    def _cancel(self, raw: bytes, cause: str | None) -> Cancel:
        id = decoded(raw, _STOP).response_id
        reply = self._active
        if id is not None:
            reply = self.replies.get(id.removeprefix(dialect.PREFIX))
        if reply is None or not reply.stream:
            raise NotFound(
                "there is no response that is being written",
                vendor_code="response_cancel_not_active",
            )
        return Cancel(reply)

    def over(self, reply: Reply) -> None:
        """A response has ended, or has not come to be."""
        self.replies.pop(reply.stream, None)
        if self._active is reply:
            self._active = None

    # -- audio

    def _audio(self, raw: bytes, cause: str | None) -> list[bytes]:
        raise no_audio(f"'{decoded(raw, _head).type}'")

    def _cleared(self, raw: bytes, cause: str | None) -> list[bytes]:
        # The buffer, which nothing can be put into, is empty.
        return [self._event("input_audio_buffer.cleared")]

    # -- writing

    def _event(self, type: str, **fields: Any) -> bytes:
        return _encode({"type": type, "event_id": self._event_id(), **fields})

    def _event_id(self) -> str:
        number, self._said = self._said, self._said + 1
        return f"event_{self.id.removeprefix('sess_')}_{number}"

    def _too_large(self) -> TooLarge:
        return TooLarge(f"an event has {self._bounds.bytes} bytes at most, beside its pictures")


class _Cut(NamedTuple):
    """Up to where an item was shown: a time after its first piece, or so many characters of it,
    which count where both are given."""

    audio_end_ms: int | None
    text_end: int | None

    def made(self, item: Item) -> Item:
        """The item, cut there."""
        if self.text_end is not None:
            return item.cut(self.text_end)
        return item.cut(item.chars_after(self.audio_end_ms or 0))


class Reply:
    """A response of a session. ``cause``: the id of the client's event that asked for it;
    ``conversation``: which gets its items, if one does."""

    def __init__(
        self,
        session: Session,
        cause: str | None,
        options: dialect.Options,
        conversation: Conversation | None,
    ) -> None:
        self.cause = cause
        self.stream = ""
        self.over = False
        self._session = session
        self._options = options
        self._conversation = conversation
        self._state: dialect.State | None = None
        self._cuts: dict[str, _Cut] = {}

    def begin(self, stream: str, meta: GenerationMeta) -> None:
        """The answer is this stream."""
        self.stream = stream
        self._state = dialect.begin(stream, meta, self._options)
        self._session.replies[stream] = self

    def take(self, event: Event | Unknown) -> list[bytes]:
        """The server events that one event of the answer makes."""
        state = self._state
        assert state is not None
        if state.plain and type(event) is Token and event.part == MAIN_PART:
            self._state, data = dialect.delta(state, event)
            return [data]
        self._state, frames = dialect.step(state, event)
        made = [data for frame in frames for data in self._told(frame)]
        if self._state.rest.ended and not self.over:
            self.end()
        return made

    def lost(self, error: FairleadError) -> bytes:
        """Its events come no more, though it may go on: what to say of that."""
        self.end()
        return self._session.refusal(error, self.cause)

    def end(self) -> None:
        """Nothing more comes of it, or it has not come to be."""
        self.over = True
        self._session.over(self)

    def cut(self, id: str, cut: _Cut) -> None:
        """Of the item ``id``, once it is complete, only so much was shown."""
        self._cuts[id] = cut

    def _told(self, frame: dialect.Frame) -> list[bytes]:
        conversation, session = self._conversation, self._session
        if frame.item is None or conversation is None:
            return [frame.data]
        item = written(frame.item)
        if frame.type == dialect.ADDED:
            return [frame.data, *session.added(item, conversation.append(item))]
        cut = self._cuts.pop(item.id, None)
        if cut is not None:
            item = cut.made(item)
        return [*session.finished(item, conversation.replace(item)), frame.data]


def _pictures(item: Item) -> list[str]:
    return [part["image_url"] for part in item.fields.get("content", ()) if "image_url" in part]


_UPDATE = msgspec.json.Decoder(_Update)
_CREATE = msgspec.json.Decoder(_Create)
_NAMED = msgspec.json.Decoder(_Named)
_TRUNCATE = msgspec.json.Decoder(_Truncate)
_RESPOND = msgspec.json.Decoder(_Respond)
_STOP = msgspec.json.Decoder(_Stop)

_Does = Callable[[Session, bytes, "str | None"], "list[bytes] | Answer | Cancel"]
_ACTS: dict[str, _Does] = {
    "session.update": Session._update,
    "conversation.item.create": Session._create,
    "conversation.item.retrieve": Session._retrieve,
    "conversation.item.truncate": Session._truncate,
    "conversation.item.delete": Session._delete,
    "response.create": Session._respond,
    "response.cancel": Session._cancel,
    "input_audio_buffer.append": Session._audio,
    "input_audio_buffer.commit": Session._audio,
    "input_audio_buffer.clear": Session._cleared,
    "output_audio_buffer.clear": Session._audio,
}
