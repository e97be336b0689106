"""Plugins: a user's own part of a server, in a few lines of Python.

A plugin is a class that extends one or several of those below, and is named in the configuration.
It is given what it needs to decide (facts, caller, text) and nothing of how the server works.

What it raises, a call that takes longer than :attr:`Plugin.timeout`, and what is not of the stated
type end the request that needed it with the code ``plugin_failed`` and the plugin's name; nothing
else is touched. Where a method may be written with ``def`` or ``async def``, it says so. Everything
runs on the server's event loop: what blocks it for a second has failed.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Sequence
from typing import ClassVar, Literal, Self

import msgspec

from fairlead.errors import Moderated, Unauthenticated
from fairlead.events.pieces import Piece, media, progress, reasoning, sources, thinking
from fairlead.policy.caller import Caller
from fairlead.policy.facts import Facts, Keep
from fairlead.ports.provider import GenerationRequest, Turn

__all__ = [
    "BudgetKey",
    "Caller",
    "Chunk",
    "Facts",
    "GenerationRequest",
    "Identity",
    "Keep",
    "Knowledge",
    "Moderated",
    "Passage",
    "Piece",
    "Plugin",
    "PromptTransform",
    "Provider",
    "Refusal",
    "Rule",
    "StreamTransform",
    "Turn",
    "Unauthenticated",
    "media",
    "progress",
    "reasoning",
    "sources",
    "thinking",
]

#: The pieces of an answer that a stream transform may take: its text, the model's reasoning, the
#: arguments of tool calls.
Kind = Literal["text", "reasoning", "tool"]


class Plugin:
    """What all plugins have in common. Options of the configuration are arguments of the class.

    ``timeout``: seconds that one call may take; the configuration may say another number.
    """

    timeout: float = 5.0

    async def open(self) -> None:
        """Make ready, before the first call. What it raises keeps the server from starting."""

    async def close(self) -> None:
        """Free everything, when the server ends."""


class Identity(Plugin, ABC):
    """Names callers by credentials of your own."""

    @abstractmethod
    async def identify(self, credential: str) -> Caller | None:
        """Who holds the credential (of the header ``Authorization: Bearer``); None: somebody else
        may know. Raise :class:`Unauthenticated` for one of yours that is not good. A stream that is
        open ends at the caller's ``expires_at``."""


class Refusal(msgspec.Struct, frozen=True):
    """Why a request may not come in, for the one who made it; ``retry_after``: in how many seconds
    it may (None: never)."""

    reason: str
    retry_after: float | None = None


class Rule(Plugin, ABC):
    """Judges each request, after the ``[[rules]]`` of the configuration. ``keep`` names the
    headers (small letters), parameters, cookies and claims that it looks at: only these are in the
    facts."""

    keep: Keep = Keep()

    @abstractmethod
    def judge(
        self, facts: Facts, caller: Caller | None
    ) -> Refusal | Awaitable[Refusal | None] | None:
        """Why the request may not come in; None: it may. ``caller`` None: nobody that is known.
        May be ``async``."""


class BudgetKey(Plugin, ABC):
    """Says whose budget a question is charged to, by ``keyed_by = ["plugin:name"]``. ``keep`` as in
    :class:`Rule`."""

    keep: Keep = Keep()

    @abstractmethod
    def key(self, caller: Caller, facts: Facts, model: str) -> str:
        """Each text has the budget's limit for itself. It is asked at the start of an answer, and
        must give the same text for the same arguments."""


class PromptTransform(Plugin, ABC):
    """Changes what is asked, before documents are searched and the model is asked."""

    @abstractmethod
    def prompt(
        self, turns: tuple[Turn, ...], caller: Caller
    ) -> Sequence[Turn] | Awaitable[Sequence[Turn]]:
        """The dialogue as the model is to have it: oldest turn first, the question last. Raise
        :class:`Moderated` with a reason for people to refuse it. What is stored in the conversation
        stays as it was asked. May be ``async``."""


class Chunk(msgspec.Struct, frozen=True, gc=False):
    """A piece of an answer on its way. ``text`` begins with what was held back before of the same
    ``part``; ``last``: nothing more of this part comes, so that nothing can be held back."""

    text: str
    kind: Kind
    part: int
    last: bool


class StreamTransform(Plugin, ABC):
    """Changes what models write, or ends it, before it is stored and shown.

    ``kinds``: the pieces that it takes; others pass. ``max_held``: characters that it may hold back
    of one part at most.
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"text", "reasoning"})
    max_held: int = 1024

    def begin(self, caller: Caller) -> Self:
        """The object for one answer: a copy of this one, so that what it remembers in ``self`` is
        of that answer alone. Extend it to set up what is not to be shared."""
        return copy.copy(self)

    @abstractmethod
    def write(
        self, chunk: Chunk
    ) -> str | tuple[str, str] | Awaitable[str] | Awaitable[tuple[str, str]]:
        """What is to be shown now, and, if the end of the text cannot be judged yet, what is to be
        held back: it comes again at the beginning of the part's next chunk. Raise
        :class:`Moderated` with a reason for people to end the answer. May be ``async``, which costs
        more for each piece.

        What is held back when an answer is stopped or fails is never shown."""


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """What a source of knowledge found: its ``text``, which the model is given; ``title`` and
    ``address`` for people; ``heading``: where in the document; ``snippet``: a few words of it (none
    given: its beginning). ``id``: its name within the source (none given: made of what it says)."""

    text: str
    title: str = ""
    address: str = ""
    heading: str = ""
    snippet: str = ""
    score: float = 0.0
    id: str = ""


class Knowledge(Plugin, ABC):
    """A source of passages beside the documents (instead of them where the setting ``knowledge`` is
    false)."""

    timeout: float = 10.0

    @abstractmethod
    async def retrieve(self, question: str, limit: int) -> Sequence[Passage]:
        """What bears on the question, best first; ``limit`` passages at most. The server keeps
        those that were found, so that they can be read later on."""


class Provider(Plugin, ABC):
    """Writes answers, as a model of the plugin's name.

    ``timeout``: seconds from one piece to the next. ``searches``: whether the documents are
    searched before it is asked. ``context_tokens``: the dialogue it can be given.
    """

    timeout: float = 120.0
    searches: bool = True
    context_tokens: int = 32_768

    @abstractmethod
    def answer(self, request: GenerationRequest) -> AsyncGenerator[Piece, None]:
        """An asynchronous generator of the answer's pieces: text, :func:`reasoning`,
        :func:`thinking`, :func:`sources`, :func:`media`, events. When the answer is stopped, the
        generator is closed."""
