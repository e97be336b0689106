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
    Token,
    Unknown,
    Usage,
)

_NO_LIMIT = 1 << 62

Status = Literal["running", "completed", "stopped", "failed", "interrupted"]


class Answer:
    """Adds up events. ``text`` is the text of the first choice, as every reader must have it.

    ``max_chars`` bounds what is kept of text and of reasoning, from their beginning; None: all.
    """

    __slots__ = (
        "_max_chars",
        "_reasoning",
        "_reasoning_chars",
        "_text",
        "_text_chars",
        "done",
        "error",
        "sources",
        "usage",
    )

    def __init__(self, max_chars: int | None = None) -> None:
        self._max_chars = _NO_LIMIT if max_chars is None else max_chars
        self._text_chars = 0
        self._reasoning_chars = 0
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self.sources: tuple[Source, ...] = ()
        self.usage: Usage | None = None
        self.done: Done | None = None
        self.error: Error | None = None

    def add(self, event: Event | Unknown) -> None:
        """Take one more event in."""
        if isinstance(event, Token):
            if event.part == MAIN_PART and self._text_chars < self._max_chars:
                self._text.append(event.text)
                self._text_chars += len(event.text)
        elif isinstance(event, Reasoning):
            if self._reasoning_chars < self._max_chars:
                self._reasoning.append(event.text)
                self._reasoning_chars += len(event.text)
        elif isinstance(event, Sources):
            self.sources = event.sources
        elif isinstance(event, Usage):
            self.usage = event
        elif isinstance(event, Reset):
            self._text = [event.text]
            self._text_chars = len(event.text)
            self._reasoning = []
            self._reasoning_chars = 0
        elif isinstance(event, Done):
            self.done = event
        elif isinstance(event, Error):
            self.error = event

    @property
    def text(self) -> str:
        """The text so far."""
        if len(self._text) > 1:
            self._text = ["".join(self._text)]
        return self._text[0][: self._max_chars] if self._text else ""

    @property
    def reasoning(self) -> str:
        """The reasoning so far."""
        return "".join(self._reasoning)[: self._max_chars]

    @property
    def status(self) -> Status:
        """How the generation stands, or how it ended."""
        if self.done is not None:
            return self.done.status
        if self.error is not None:
            return "interrupted" if self.error.code == "interrupted" else "failed"
        return "running"
