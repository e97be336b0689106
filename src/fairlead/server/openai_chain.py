"""What a response goes on with: what was asked and answered before, as the vendor lists it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from fairlead.dialects.openai_responses import PREFIX, Response
from fairlead.engine.ask import Ask, Kept
from fairlead.errors import BadRequest, Conflict, NotFound, TooLarge
from fairlead.events.meta import decode_meta
from fairlead.policy.caller import Caller
from fairlead.server.openai_items import PREFIX as CONVERSATION
from fairlead.server.openai_items import held, kept
from fairlead.server.openai_requests import ours
from fairlead.server.openai_responses_request import Asked
from fairlead.server.system import System

#: A dialogue of more answers than this is refused.
_MAX_CHAIN = 1000
#: Characters that are taken for a title.
_TITLE = 200
#: Items of an answer that whoever answers next is given.
_SAID = ("message", "function_call", "custom_tool_call")
#: The id of an item that an answer has: its stream stands in it.
_ITEM = re.compile(r"[a-z]+_([0-9a-z]{26})_[0-9]+")

#: Gives the input of a response that is not stored and yet known, with all before it.
Recall = Callable[[str], list[Any] | None]


async def found(system: System, caller: Caller, stream: str, *, first: bool = False) -> Response:
    """What a response adds up to so far, or its question alone. One that was not to be stored is
    not found."""
    sum = await sum_of(system, caller, stream, first=first)
    if not sum.stored:
        raise NotFound("this response was not stored, as its request said")
    return sum


async def sum_of(system: System, caller: Caller, stream: str, *, first: bool = False) -> Response:
    """As :func:`found`, stored or not."""
    engine = system.engine
    info = await engine.info(caller, stream)
    sum = Response(stream, ours(decode_meta(info.meta)))
    await engine.replay(caller, stream, sum.add, first=first)
    return sum


def input_of(sum: Response) -> list[Any]:
    """What a response was asked."""
    items: list[Any] = [] if sum.asked is None else msgspec.json.decode(sum.asked.input)
    return items


def said_by(sum: Response) -> list[Any]:
    """What of a response whoever answers next is given; of reasoning, what its model alone can
    read."""
    return [
        item
        for item in sum.output
        if (item["type"] in _SAID and (item["type"] == "message" or item["status"] == "completed"))
        or (item["type"] == "reasoning" and item.get("encrypted_content"))
    ]


async def ask_of(
    system: System, caller: Caller, question: Asked, recall: Recall | None = None
) -> tuple[Ask, list[Any]]:
    """A question as the engine is asked it, and the items that it is about. Raises as
    :func:`items_of`."""
    items = await items_of(system, caller, question, recall)
    ask = question.about(items)
    if not question.conversation:
        return ask, items
    id = question.conversation.removeprefix(CONVERSATION)
    return msgspec.structs.replace(ask, conversation=id, kept=kept(question.items)), items


async def items_of(
    system: System, caller: Caller, question: Asked, recall: Recall | None = None
) -> list[Any]:
    """All that whoever answers the question is given, the question's own items last.

    Raises :class:`~fairlead.errors.NotFound` and :class:`~fairlead.errors.BadRequest` for what it
    cannot go on with, :class:`~fairlead.errors.TooLarge`.
    """
    if question.conversation:
        earlier = await _before(system, caller, question.conversation, kept(question.items))
    else:
        earlier = await _earlier(system, caller, question.previous, recall)
    return earlier + await _resolved(system, caller, question.items)


async def _earlier(
    system: System, caller: Caller, previous: str, recall: Recall | None
) -> list[Any]:
    """What was asked and answered before, from the first response of the dialogue on."""
    limit = system.config.max_ask_bytes
    told: list[list[Any]] = []
    size = 0
    while previous:
        if len(told) >= _MAX_CHAIN:
            raise TooLarge(f"the dialogue has more than {_MAX_CHAIN} responses")
        known = recall(previous) if recall is not None else None
        try:
            stream = previous.removeprefix(PREFIX)
            sum = await (found if known is None else sum_of)(system, caller, stream)
        except NotFound:
            raise NotFound(
                f"there is no response {previous[:100]!r}",
                param="previous_response_id",
                vendor_code="previous_response_not_found",
            ) from None
        if sum.asked is None:
            raise BadRequest(
                f"{previous!r} was not asked as a response: its question is not kept with it",
                param="previous_response_id",
            )
        if not sum.ended:
            raise BadRequest(
                f"{previous!r} has not ended yet: wait for it, or cancel it",
                param="previous_response_id",
            )
        own = known if known is not None else await _resolved(system, caller, input_of(sum))
        items = own + said_by(sum)
        size += len(msgspec.json.encode(items))
        if size > limit:
            raise TooLarge(f"the dialogue is larger than {limit} bytes, which is the limit")
        told.append(items)
        # What is known is known with all before it.
        previous = "" if known is not None else sum.previous
    return [item for items in reversed(told) for item in items]


async def _before(system: System, caller: Caller, id: str, said: Kept) -> list[Any]:
    """What has been said in a conversation before something is. One that has no title gets it of
    that."""
    try:
        found = await held(system, caller, id)
    except NotFound:
        raise NotFound(f"there is no conversation {id[:100]!r}", param="conversation") from None
    if found.running:
        raise Conflict(
            "an answer is being written in this conversation: wait for it, or cancel it",
            param="conversation",
            vendor_code="conversation_locked",
        )
    title = said.text.strip()
    if title and not found.conversation.title:
        await system.engine.dialogues.rename(caller, found.conversation.id, title[:_TITLE])
    items = [item for item in found.items if item["type"] != "reasoning"]
    if len(msgspec.json.encode(items)) > system.config.max_ask_bytes:
        raise TooLarge(
            f"the conversation is larger than {system.config.max_ask_bytes} bytes, which is the "
            "limit: remove items from it"
        )
    return await _resolved(system, caller, items)


async def _resolved(system: System, caller: Caller, items: list[Any]) -> list[Any]:
    """The items, those in their places that are only named (``item_reference``): an answer's."""
    if all(item.get("type") != "item_reference" for item in items):
        return items
    sums: dict[str, Response] = {}
    made: list[Any] = []
    for item in items:
        if item.get("type") != "item_reference":
            made.append(item)
            continue
        id = str(item.get("id"))
        named = _ITEM.fullmatch(id)
        stream = "" if named is None else named[1]
        try:
            if stream not in sums:
                sums[stream] = await found(system, caller, stream)
            made.append(next(each for each in sums[stream].output if each["id"] == id))
        except (NotFound, StopIteration):
            raise NotFound(f"there is no item {id[:100]!r}", param="input") from None
    return made
