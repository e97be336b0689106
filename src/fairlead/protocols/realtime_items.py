"""The items of a Realtime conversation: what was said, in the vendor's words and as turns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from fairlead.dialects.openai_body import of_address
from fairlead.dialects.openai_realtime import Written
from fairlead.errors import BadRequest, Conflict, NotFound, TooLarge
from fairlead.events.attachment import Attachment
from fairlead.ports.provider import Call, Turn

#: What stands in place of an item that comes before all others.
ROOT = "root"
#: The longest id that a client may give an item.
_MAX_ID = 128

#: The types of a message's text, by its role.
_TEXTS = {"user": "input_text", "system": "input_text", "assistant": "output_text"}


class _Part(msgspec.Struct):
    type: str | None = None
    text: str | None = None
    transcript: str | None = None
    audio: str | None = None
    image_url: str | None = None
    detail: str | None = None


class Given(msgspec.Struct):
    """An item as a client gives it."""

    type: str
    id: str | None = None
    role: str | None = None
    content: list[_Part] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | None = None


class Item(msgspec.Struct, frozen=True):
    """An item: the vendor's ``fields``, and what it is to a provider (None: nothing, as yet).
    ``marks`` as in :class:`~fairlead.dialects.openai_realtime.Written`.
    """

    fields: dict[str, Any]
    turn: Turn | None
    size: int
    marks: tuple[tuple[int, int], ...] = ()

    @property
    def id(self) -> str:
        """Its id."""
        id: str = self.fields["id"]
        return id

    @property
    def finished(self) -> bool:
        """Whether nothing more comes of it."""
        return bool(self.fields["status"] != "in_progress")

    def cut(self, chars: int) -> Item:
        """The message of an answer of which only so many characters were shown. One that was not
        shown at all is nothing to a provider."""
        text = "".join(part["text"] for part in self.fields["content"])[:chars]
        turn = Turn("assistant", text) if text else None
        content = [{"type": "output_text", "text": text}]
        return _item({**self.fields, "content": content}, turn, self.marks)

    def chars_after(self, milliseconds: int) -> int:
        """How many characters of its text were there so long after the first."""
        return max((chars for at, chars in self.marks if at <= milliseconds), default=0)


def written(item: Written) -> Item:
    """An item of an answer. A call that has not been told to its end is none to a provider."""
    fields = item.fields
    turn: Turn | None = None
    if fields["status"] == "in_progress":
        pass
    elif fields["type"] == "message":
        turn = Turn("assistant", "".join(part["text"] for part in fields["content"]))
    elif fields["status"] == "completed":
        call = Call(fields["call_id"], fields["name"], fields["arguments"])
        turn = Turn("assistant", "", calls=(call,))
    return _item(fields, turn, item.marks)


def created(given: Given, id: str, where: str) -> Item:
    """The item that a client gives, which is called ``id`` if it gives no name; ``where`` it
    stands, for messages. Raises :class:`~fairlead.errors.BadRequest`, which names the field."""
    if given.id is not None:
        id = given.id
        if not 0 < len(id) <= _MAX_ID or not id.isprintable() or id == ROOT:
            raise BadRequest(
                f"'{where}.id' must be 1 to {_MAX_ID} printable characters, and not {ROOT!r}",
                param=f"{where}.id",
            )
    fields: dict[str, Any] = {
        "id": id,
        "object": "realtime.item",
        "type": given.type,
        "status": "completed",
    }
    match given.type:
        case "message":
            return _message(given, fields, where)
        case "function_call":
            named = {
                "call_id": given.call_id or f"call_{id}",
                "name": _needed(given.name, f"{where}.name"),
                "arguments": _needed(given.arguments, f"{where}.arguments"),
            }
            call = Call(named["call_id"], named["name"], named["arguments"])
            return _item({**fields, **named}, Turn("assistant", "", calls=(call,)))
        case "function_call_output":
            named = {
                "call_id": _needed(given.call_id, f"{where}.call_id"),
                "output": _needed(given.output, f"{where}.output"),
            }
            turn = Turn("tool", named["output"], call_id=named["call_id"])
            return _item({**fields, **named}, turn)
        case _:
            raise BadRequest(
                f"'{where}.type' must be 'message', 'function_call' or 'function_call_output', "
                f"not {given.type[:40]!r}",
                param=f"{where}.type",
            )


def turns(instructions: str, items: Iterable[Item]) -> tuple[Turn, ...]:
    """The dialogue as a provider sees it. The calls of one answer are one turn with what it said
    before them: results follow."""
    made: list[Turn] = [Turn("system", instructions)] if instructions else []
    for item in items:
        turn = item.turn
        if turn is None:
            continue
        last = made[-1] if made else None
        if turn.role == "assistant" and last is not None and last.role == "assistant":
            if turn.calls:
                made[-1] = msgspec.structs.replace(last, calls=(*last.calls, *turn.calls))
                continue
            if last.calls:
                text = "\n\n".join(filter(None, (last.text, turn.text)))
                made[-1] = msgspec.structs.replace(last, text=text)
                continue
        made.append(turn)
    return tuple(made)


class Conversation:
    """The items of one session, in their order; ``most`` and ``most_bytes`` bound what a client
    may add to them. Its errors have the vendor's ``word``."""

    def __init__(self, id: str, most: int, most_bytes: int) -> None:
        self.id = id
        self._most = most
        self._most_bytes = most_bytes
        self._items: list[Item] = []
        self._places: dict[str, Item] = {}
        self._size = 0

    @property
    def items(self) -> tuple[Item, ...]:
        """All of them."""
        return tuple(self._items)

    def insert(self, item: Item, after: str | None) -> str | None:
        """Put an item of the client's behind another one (None: the last); the id of what precedes
        it. Raises :class:`~fairlead.errors.CallerError`; then nothing has changed."""
        if item.id in self._places:
            raise Conflict(f"there is an item {item.id[:40]!r} already", param="item.id")
        if len(self._items) >= self._most or self._size + item.size > self._most_bytes:
            raise TooLarge(
                f"a conversation holds {self._most} items and {self._most_bytes} bytes at most: "
                "delete some"
            )
        if after is None:
            place = len(self._items)
        elif after == ROOT:
            place = 0
        else:
            place = self._place(after, "item_create_invalid_previous_item_id", "previous_item_id")
            place += 1
        return self._insert(place, item)

    def append(self, item: Item) -> str | None:
        """Put an item of an answer behind all others; the id of what precedes it."""
        return self._insert(len(self._items), item)

    def replace(self, item: Item) -> str | None:
        """Put an item in the place of the one of its id; the id of what precedes it."""
        place = self._place(item.id, "", "")
        self._size += item.size - self._items[place].size
        self._items[place] = self._places[item.id] = item
        return self._items[place - 1].id if place else None

    def find(self, id: str, word: str = "", param: str = "item_id") -> Item:
        """The item ``id``. Raises :class:`~fairlead.errors.NotFound`."""
        item = self._places.get(id)
        if item is None:
            raise _absent(id, word, param)
        return item

    def remove(self, id: str) -> None:
        """Take an item out. Raises :class:`~fairlead.errors.CallerError`."""
        word = "item_delete_invalid_item_id"
        place = self._place(id, word, "item_id")
        if not self._items[place].finished:
            raise BadRequest(
                f"the item {id[:40]!r} is being written: cancel its response first",
                param="item_id",
                vendor_code=word,
            )
        self._size -= self._items.pop(place).size
        del self._places[id]

    def _insert(self, place: int, item: Item) -> str | None:
        self._items.insert(place, item)
        self._places[item.id] = item
        self._size += item.size
        return self._items[place - 1].id if place else None

    def _place(self, id: str, word: str, param: str) -> int:
        item = self.find(id, word, param)
        # What is asked for is nearly always near the end.
        return next(n for n in reversed(range(len(self._items))) if self._items[n] is item)


def _message(given: Given, fields: dict[str, Any], where: str) -> Item:
    role = given.role or ""
    if role not in _TEXTS:
        raise BadRequest(
            f"'{where}.role' must be 'user', 'assistant' or 'system'", param=f"{where}.role"
        )
    if given.content is None:
        raise BadRequest(f"'{where}.content' is missing", param=f"{where}.content")
    content: list[dict[str, Any]] = []
    texts: list[str] = []
    attachments: list[Attachment] = []
    for number, part in enumerate(given.content):
        at = f"{where}.content[{number}]"
        said = part.text
        if part.type == "input_image" and role == "user":
            attachment = of_address(part.image_url or "", "")
            if attachment is None:
                raise BadRequest(
                    f"'{at}.image_url' must hold the picture: data:image/png;base64,…",
                    param=f"{at}.image_url",
                )
            attachments.append(attachment)
            content.append({"type": part.type, "image_url": part.image_url})
            continue
        if part.type == "output_audio" and role == "assistant" and part.transcript is not None:
            said = part.transcript  # what was heard of an earlier session's answer
        elif part.type in ("input_audio", "output_audio", "audio"):
            raise no_audio(f"'{at}'")
        elif part.type not in (None, "text", _TEXTS[role]):
            raise BadRequest(
                f"'{at}.type' must be {_TEXTS[role]!r} in a message of the role {role!r}",
                param=f"{at}.type",
            )
        texts.append(_needed(said, f"{at}.text"))
        content.append({"type": _TEXTS[role], "text": said})
    turn = Turn(role, "\n\n".join(texts), tuple(attachments))  # type: ignore[arg-type]  # of _TEXTS
    return _item({**fields, "role": role, "content": content}, turn)


def no_audio(what: str) -> BadRequest:
    """What is said of audio, which ``what`` is or asks for."""
    return BadRequest(
        f"{what}: this model takes and gives text alone. Audio needs an upstream with "
        "'realtime = true' in the server's configuration",
        vendor_code="audio_not_supported",
    )


def _needed(value: str | None, param: str) -> str:
    if value is None:
        raise BadRequest(f"{param!r} is missing", param=param)
    return value


def _absent(id: str, word: str, param: str) -> NotFound:
    return NotFound(f"there is no item {id[:40]!r}", param=param, vendor_code=word)


def _item(
    fields: dict[str, Any], turn: Turn | None, marks: tuple[tuple[int, int], ...] = ()
) -> Item:
    return Item(fields, turn, len(msgspec.json.encode(fields)), marks)
