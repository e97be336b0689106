"""Dialogues: which messages a question adds, and what the provider is told of those before it."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import msgspec

from fairlead.engine.ask import Ask
from fairlead.engine.limits import Limits
from fairlead.errors import BadRequest, NotFound, UnsupportedAttachment
from fairlead.events.attachment import Attachment
from fairlead.policy.attachments import checked, takes
from fairlead.policy.tokens import estimate, estimate_attachment
from fairlead.ports.conversations import Attached, Conversation, Conversations, Message
from fairlead.ports.provider import Provider, Turn, speaks
from fairlead.primitives import base32, derived_id

#: Share of the provider's context that history and question may fill; the rest is for passages
#: and the answer.
_HISTORY_SHARE = 0.5
_TITLE_CHARS = 80


class Exchange(msgspec.Struct, frozen=True):
    """A question in its dialogue: what to store (``conversation`` None: nothing), and the turns
    that the provider is given. ``question`` is the text to answer; ``attachments`` are those that
    came with it, by id."""

    conversation: Conversation | None
    messages: tuple[Message, ...]
    turns: tuple[Turn, ...]
    question: str
    attachments: dict[str, Attachment] = {}

    @property
    def conversation_id(self) -> str:
        """The dialogue's id; empty if it is not stored."""
        return "" if self.conversation is None else self.conversation.id

    @property
    def question_id(self) -> str:
        """The id of the message that asks; empty if it is not stored."""
        return (self.messages[-1].parent or "") if self.messages else ""

    @property
    def answer_id(self) -> str:
        """The id of the message that will hold the answer; empty if it is not stored."""
        return self.messages[-1].id if self.messages else ""


def given(ask: Ask, provider: Provider, limits: Limits) -> Exchange:
    """A question whose caller keeps the dialogue itself and gives the whole of it.

    Raises as :func:`~fairlead.policy.attachments.checked` for attachments, and
    :class:`~fairlead.errors.UnsupportedAttachment` or :class:`~fairlead.errors.BadRequest` (of a
    field) for what ``provider`` cannot be given. One that speaks the dialect of the question gets
    it in its own words: what may stand there is then for the upstream to say.
    """
    asked = [turn.text for turn in ask.turns if turn.role == "user"]
    question = asked[-1] if asked else ask.turns[-1].text
    turns = ask.turns
    if ask.vendor is None or not speaks(provider, ask.vendor.dialect):
        for unsaid in () if ask.vendor is None else ask.vendor.unsaid:
            raise BadRequest(
                f"{provider.name!r}, which is to answer, cannot be given {unsaid.what}: only an "
                "upstream that speaks the dialect of the request can",
                param=unsaid.param,
            )
        checked([each for turn in turns for each in turn.attachments], limits.attachments)
        for turn in turns:
            if turn.unsaid:
                raise UnsupportedAttachment(
                    f"{provider.name!r}, which is to answer, cannot be given {turn.unsaid[0]}: only"
                    " an upstream that speaks the dialect of the request can"
                )
            for attached in turn.attachments:
                _check_taken(provider, attached)
        turns = within_context(turns, provider.context_tokens)
        if ask.whole and len(turns) < len(ask.turns):
            raise BadRequest(
                f"the dialogue is longer than {provider.name!r} reads, {provider.context_tokens} "
                "tokens with room for the answer: leave out its beginning, or ask for 'truncation'",
                param="input",
                vendor_code="context_length_exceeded",
            )
    return Exchange(None, (), turns, question)


async def exchange(
    conversations: Conversations,
    ask: Ask,
    provider: Provider,
    *,
    stream: str,
    owner: str,
    now: float,
    limits: Limits,
) -> Exchange:
    """Place a question in its dialogue. New ids derive from the stream's, so that a repeated start
    yields the same ones.

    Raises :class:`~fairlead.errors.NotFound` for another owner's conversation or an unknown
    ``parent`` or ``regenerate``, and :class:`~fairlead.errors.UnsupportedAttachment` for what
    ``provider`` cannot be given.
    """
    limit = limits.history_messages
    known = await _known(conversations, ask, owner)
    if known is None:
        if ask.regenerate or ask.parent:
            raise NotFound(f"there is no conversation {ask.conversation!r}")
        known = Conversation(
            id=ask.conversation or derived_id(stream, "conversation"),
            owner=owner,
            title=_title(ask.message),
            created=now,
            updated=now,
        )
        path: list[Message] = []
    elif ask.regenerate:
        path = await conversations.path(known.id, ask.regenerate, limit)
        if path and path[-1].role == "assistant":
            path.pop()
        if not path or path[-1].role != "user":
            raise BadRequest("'regenerate' must name a question or the answer to one")
    elif ask.parent == "":
        path = []
    elif ask.parent is not None or known.leaf is not None:
        path = await conversations.path(known.id, ask.parent, limit)
    else:
        path = []

    messages: list[Message] = []
    named = [(_id_of(known.id, each), each) for each in ask.attachments]
    attachments = dict(named)
    if not ask.regenerate:
        question = Message(
            id=derived_id(stream, "question"),
            parent=path[-1].id if path else None,
            role="user",
            text=ask.message,
            created=now,
            attachments=tuple(
                Attached(id=id, type=each.type, size=len(each.data), name=each.name)
                for id, each in named
            ),
        )
        messages.append(question)
        path.append(question)
    messages.append(
        Message(
            id=derived_id(stream, "answer"),
            parent=path[-1].id,
            role="assistant",
            text="",
            created=now,
            stream=stream,
            status="running",
        )
    )
    for attached in path[-1].attachments:
        _check_taken(provider, attached)
    shown = attachments | await _earlier(
        conversations, known.id, path, attachments, provider, limits
    )
    turns = within_context(_turns(path, ask.system, shown), provider.context_tokens)
    return Exchange(known, tuple(messages), turns, path[-1].text, attachments)


async def kept(
    conversations: Conversations,
    ask: Ask,
    placed: Exchange,
    *,
    stream: str,
    owner: str,
    now: float,
) -> Exchange:
    """A question in a vendor's words as the next one of its conversation. Raises
    :class:`~fairlead.errors.NotFound` if the owner has none of this id."""
    known = await _known(conversations, ask, owner)
    if known is None or ask.kept is None:
        raise NotFound(f"there is no conversation {ask.conversation!r}", param="conversation")
    question = Message(
        id=derived_id(stream, "question"),
        parent=known.leaf,
        role="user",
        text=ask.kept.text,
        created=now,
        items=ask.kept.items,
    )
    answer = Message(
        id=derived_id(stream, "answer"),
        parent=question.id,
        role="assistant",
        text="",
        created=now,
        stream=stream,
        status="running",
    )
    known = msgspec.structs.replace(known, updated=now)
    return msgspec.structs.replace(placed, conversation=known, messages=(question, answer))


def _check_taken(provider: Provider, attached: Attached | Attachment) -> None:
    if not takes(provider.takes, attached.type):
        raise UnsupportedAttachment(
            f"{provider.name!r}, which is to answer, takes no {attached.type}"
            + (f" ({attached.name})" if attached.name else "")
            + (f"; it takes {', '.join(provider.takes)}" if provider.takes else "")
        )


def _id_of(conversation: str, attachment: Attachment) -> str:
    """The same for the same attachment, so that its bytes are kept once; for the conversation
    alone, so that it tells nothing of others."""
    return base32(sha256(conversation.encode() + b"\0" + attachment.digest()).digest()[:16])


async def _earlier(
    conversations: Conversations,
    conversation: str,
    path: Sequence[Message],
    given: dict[str, Attachment],
    provider: Provider,
    limits: Limits,
) -> dict[str, Attachment]:
    """The attachments of the messages before, as far as the provider takes them; the newest ones
    first, as many bytes as a question may have, those of the new one counted in."""
    room = limits.attachments.total - sum(len(each.data) for each in given.values())
    newest_first = [each for message in reversed(path) for each in message.attachments]
    wanted: list[str] = []
    for each in newest_first:
        if each.id in given or each.id in wanted or not takes(provider.takes, each.type):
            continue
        room -= each.size
        if room < 0:
            break
        wanted.append(each.id)
    return await conversations.attachments(conversation, wanted) if wanted else {}


async def _known(conversations: Conversations, ask: Ask, owner: str) -> Conversation | None:
    if not ask.conversation:
        return None
    try:
        known = await conversations.get(ask.conversation)
    except NotFound:
        return None
    if known.owner != owner:
        raise NotFound(f"there is no conversation {ask.conversation!r}")
    return known


def within_context(turns: Sequence[Turn], context_tokens: int) -> tuple[Turn, ...]:
    """The system turn, the question and as many turns before it, newest first, as the context
    holds by the stated estimate."""
    system = [turn for turn in turns[:1] if turn.role == "system"]
    budget = int(context_tokens * _HISTORY_SHARE) - sum(map(_tokens, system))
    kept: list[Turn] = []
    for turn in reversed(turns[len(system) :]):
        budget -= _tokens(turn)
        if kept and budget < 0:
            break
        kept.append(turn)
    # A dialogue begins with a question: an answer without its question tells a model nothing, nor
    # does the result of a call that nobody made.
    while len(kept) > 1 and kept[-1].role in ("assistant", "tool"):
        kept.pop()
    return (*system, *reversed(kept))


def _tokens(turn: Turn) -> int:
    called = sum(estimate(call.arguments) for call in turn.calls)
    return estimate(turn.text) + sum(map(estimate_attachment, turn.attachments)) + called


def _turns(path: Sequence[Message], system: str, shown: dict[str, Attachment]) -> tuple[Turn, ...]:
    # Of an interrupted answer the person knows what was shown, and that is what is spoken of.
    turns = [
        Turn(m.role, text, tuple(shown[each.id] for each in m.attachments if each.id in shown))
        for m in path
        if (text := m.text[: m.shown])
    ]
    return (Turn("system", system), *turns) if system else tuple(turns)


def _title(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= _TITLE_CHARS else line[: _TITLE_CHARS - 1] + "…"
