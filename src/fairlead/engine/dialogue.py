"""Dialogues: which messages a question adds, and what the provider is told of those before it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from fairlead.engine.ask import Ask
from fairlead.errors import BadRequest, NotFound
from fairlead.policy.tokens import estimate
from fairlead.ports.conversations import Conversation, Conversations, Message
from fairlead.ports.provider import Turn
from fairlead.primitives import derived_id

#: Share of the provider's context that history and question may fill; the rest is for passages
#: and the answer.
_HISTORY_SHARE = 0.5
_TITLE_CHARS = 80


class Exchange(msgspec.Struct, frozen=True):
    """A question in its dialogue: what to store, and the turns that the provider is given.
    ``question`` is the text to answer."""

    conversation: Conversation
    messages: tuple[Message, ...]
    turns: tuple[Turn, ...]
    question: str

    @property
    def question_id(self) -> str:
        """The id of the message that asks."""
        parent = self.messages[-1].parent
        assert parent is not None
        return parent

    @property
    def answer_id(self) -> str:
        """The id of the message that will hold the answer."""
        return self.messages[-1].id


async def exchange(
    conversations: Conversations, ask: Ask, *, stream: str, owner: str, now: float, limit: int
) -> Exchange:
    """Place a question in its dialogue. New ids derive from the stream's, so that a repeated start
    yields the same ones.

    Raises :class:`~fairlead.errors.NotFound` for another owner's conversation or an unknown
    ``parent`` or ``regenerate``.
    """
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
    if not ask.regenerate:
        question = Message(
            id=derived_id(stream, "question"),
            parent=path[-1].id if path else None,
            role="user",
            text=ask.message,
            created=now,
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
    return Exchange(known, tuple(messages), _turns(path, ask.system), path[-1].text)


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
    budget = int(context_tokens * _HISTORY_SHARE) - sum(estimate(turn.text) for turn in system)
    kept: list[Turn] = []
    for turn in reversed(turns[len(system) :]):
        budget -= estimate(turn.text)
        if kept and budget < 0:
            break
        kept.append(turn)
    # A dialogue begins with a question: an answer without its question tells a model nothing.
    while len(kept) > 1 and kept[-1].role == "assistant":
        kept.pop()
    return (*system, *reversed(kept))


def _turns(path: Sequence[Message], system: str) -> tuple[Turn, ...]:
    # Of an interrupted answer the person knows what was shown, and that is what is spoken of.
    turns = [Turn(m.role, text) for m in path if (text := m.text[: m.shown])]
    return (Turn("system", system), *turns) if system else tuple(turns)


def _title(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= _TITLE_CHARS else line[: _TITLE_CHARS - 1] + "…"
