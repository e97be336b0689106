"""Pieces: what a program writes when it does not want to count parts and milliseconds.

A program yields text and pieces; a :class:`Pen` makes events of them. It numbers, opens and closes
the parts, and fills in the times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

from fairlead.events.model import (
    Event,
    Media,
    Part,
    Progress,
    Reasoning,
    Source,
    Sources,
    Thinking,
    Token,
)

#: Bytes of binary output in one event; more becomes several of the same part. With base64 this
#: stays well below the largest event that is taken by default.
MEDIA_PIECE = 256 * 1024


class ReasoningPiece(msgspec.Struct, frozen=True):
    """See :func:`reasoning`."""

    text: str


class MediaPiece(msgspec.Struct, frozen=True):
    """See :func:`media`."""

    content_type: str
    data: bytes = b""
    address: str = ""


#: What a program may write: text of the answer, a piece from one of the functions below, an event.
Piece = str | ReasoningPiece | MediaPiece | Event


def thinking(status: str, message: str = "") -> Thinking:
    """What is being done: ``status`` is a word for programs, ``message`` one for people."""
    return Thinking(0, status, message)


def progress(message: str = "", fraction: float | None = None) -> Progress:
    """How far a long task has come: ``fraction`` from 0 to 1, None where it cannot be known."""
    if fraction is not None and not 0 <= fraction <= 1:
        raise ValueError(f"a fraction is from 0 to 1: {fraction}")
    return Progress(0, message, fraction)


def sources(found: Iterable[Source]) -> Sources:
    """What the answer rests on, best first; the text ``[n]`` cites the n-th."""
    return Sources(0, tuple(found))


def reasoning(text: str) -> ReasoningPiece:
    """A piece of the reasoning that leads to the answer."""
    return ReasoningPiece(text)


def media(content_type: str, data: bytes = b"", *, address: str = "") -> MediaPiece:
    """Binary output, a part of its own: its bytes, or the ``address`` where they are."""
    if bool(data) == bool(address):
        raise ValueError("media has either data or an address")
    return MediaPiece(content_type, data, address)


class Pen:
    """Makes events of pieces, for one stream. ``clock`` gives milliseconds since 1970 (UTC)."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._next = 1
        self._reasoning: int | None = None

    def write(self, piece: Piece) -> Iterator[Event]:
        """The events that ``piece`` makes. Raises :class:`TypeError` for what is none."""
        at = self._clock()
        if isinstance(piece, ReasoningPiece):
            if self._reasoning is None:
                self._reasoning = self._open()
                yield Part(at, self._reasoning, "open", "reasoning")
            yield Reasoning(at, piece.text, self._reasoning)
            return
        yield from self.end()
        if isinstance(piece, str):
            if piece:
                yield Token(at, piece)
        elif isinstance(piece, MediaPiece):
            yield from self._media(at, piece)
        elif isinstance(piece, Event):
            if isinstance(piece, Part):
                self._next = max(self._next, piece.part + 1)
            yield piece if piece.at else msgspec.structs.replace(piece, at=at)
        else:
            raise TypeError(f"an answer is made of text, pieces and events, not of {piece!r:.200}")

    def end(self) -> Iterator[Event]:
        """What closes the part that is open, if any."""
        if self._reasoning is not None:
            yield Part(self._clock(), self._reasoning, "close", "reasoning")
            self._reasoning = None

    def _open(self) -> int:
        part, self._next = self._next, self._next + 1
        return part

    def _media(self, at: int, piece: MediaPiece) -> Iterator[Event]:
        part = self._open()
        yield Part(at, part, "open", "media")
        if piece.address:
            yield Media(at, part, piece.content_type, address=piece.address)
        for start in range(0, len(piece.data), MEDIA_PIECE):
            data = piece.data[start : start + MEDIA_PIECE]
            yield Media(at, part, piece.content_type, data)
        yield Part(at, part, "close", "media")
