"""An answer as a whole: what the events of a generation stream add up to."""

from __future__ import annotations

from typing import Literal

from fairlead.events.model import (
    MAIN_PART,
    Done,
    Error,
    Event,
    Reasoning,
    Reset,
    Source,
    Sources,
    Thinking,
    Token,
    Unknown,
    Usage,
)

_NO_LIMIT = 1 << 62
#: Pieces of a text that are kept apart at most.
_PIECES = 256

Status = Literal["running", "completed", "stopped", "failed", "interrupted"]


class Answer:
    """Adds up events. ``text`` is the text of the first choice, as every reader must have it.

    ``max_chars`` bounds what is kept of text and of reasoning, from their beginning; None: all.
    ``provider`` and ``model`` say who answers, where that was chosen among several.
    """

    __slots__ = ("_reasoning", "_text", "done", "error", "model", "provider", "sources", "usage")

    def __init__(self, max_chars: int | None = None) -> None:
        limit = _NO_LIMIT if max_chars is None else max_chars
        self._text = _Text(limit)
        self._reasoning = _Text(limit)
        self.sources: tuple[Source, ...] = ()
        self.usage: Usage | None = None
        self.done: Done | None = None
        self.error: Error | None = None
        self.provider = ""
        self.model = ""

    def add(self, event: Event | Unknown) -> None:
        """Take one more event in."""
        if type(event) is Token:
            if event.part == MAIN_PART:
                self._text.add(event.text)
        elif isinstance(event, Reasoning):
            self._reasoning.add(event.text)
        elif isinstance(event, Sources):
            self.sources = event.sources
        elif isinstance(event, Usage):
            self.usage = event
        elif isinstance(event, Reset):
            self._text.replace(event.text)
            self._reasoning.replace("")
        elif isinstance(event, Done):
            self.done = event
        elif isinstance(event, Error):
            self.error = event
        elif isinstance(event, Thinking) and event.provider:
            self.provider, self.model = event.provider, event.model

    @property
    def text(self) -> str:
        """The text so far."""
        return self._text.value

    @property
    def reasoning(self) -> str:
        """The reasoning so far."""
        return self._reasoning.value

    @property
    def status(self) -> Status:
        """How the generation stands, or how it ended."""
        if self.done is not None:
            return self.done.status
        if self.error is not None:
            return "interrupted" if self.error.code == "interrupted" else "failed"
        return "running"


class _Text:
    """A text that grows by small pieces. They are joined now and then: thousands of answers at
    once would otherwise hold millions of them."""

    __slots__ = ("_limit", "_pieces", "_size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._pieces: list[str] = []

    def add(self, piece: str) -> None:
        if self._size < self._limit:
            self._size += len(piece)
            self._pieces.append(piece)
            if len(self._pieces) >= _PIECES:
                self._pieces = ["".join(self._pieces)]

    def replace(self, text: str) -> None:
        self._size = len(text)
        self._pieces = [text]

    @property
    def value(self) -> str:
        self._pieces = ["".join(self._pieces)]
        return self._pieces[0][: self._limit]
