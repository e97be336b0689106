"""What a program writes over HTTP: a line of JSON for each piece, in the shape in which it is read.

A line is a message of PROTOCOL.md, section 8, without stream and position. Parts and times are not
the program's business (:class:`~fairlead.events.pieces.Pen`), so that what may be written is less
than what may be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec

from fairlead.errors import BadRequest
from fairlead.events import model, pieces
from fairlead.events.pieces import Piece

Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]
Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]


class _Data(msgspec.Struct, forbid_unknown_fields=True):
    """The data of one line."""

    def piece(self) -> Piece:
        """What it is to the pen."""
        raise NotImplementedError


class _Token(_Data):
    token: str

    def piece(self) -> Piece:
        return self.token


class _Reasoning(_Data):
    reasoning: str

    def piece(self) -> Piece:
        return pieces.reasoning(self.reasoning)


class _Thinking(_Data):
    status: str
    message: str = ""

    def piece(self) -> Piece:
        return pieces.thinking(self.status, self.message)


class _Progress(_Data):
    message: str = ""
    fraction: Fraction | None = None

    def piece(self) -> Piece:
        return pieces.progress(self.message, self.fraction)


class _Source(msgspec.Struct, forbid_unknown_fields=True):
    title: str
    address: str = ""
    id: str = ""
    heading: str = ""
    span: tuple[Count, Count] = (0, 0)
    score: float = 0.0
    snippet: str = ""


class _Sources(_Data):
    sources: list[_Source]

    def piece(self) -> Piece:
        return pieces.sources(model.Source(**msgspec.structs.asdict(s)) for s in self.sources)


class _Media(_Data):
    content_type: str
    data: bytes = b""
    address: str = ""

    def piece(self) -> Piece:
        return pieces.media(self.content_type, self.data, address=self.address)


class _Usage(_Data):
    input_tokens: Count = 0
    output_tokens: Count = 0
    estimated: bool = False

    def piece(self) -> Piece:
        return model.Usage(0, self.input_tokens, self.output_tokens, self.estimated)


class _Done(_Data):
    finish: str = ""

    def piece(self) -> Piece:
        return model.Done(0, finish=self.finish)


class _Error(_Data):
    error: str
    retryable: bool = False

    def piece(self) -> Piece:
        return model.Error(0, self.error, "upstream_error", self.retryable)


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    data: msgspec.Raw = msgspec.Raw(b"{}")


_TYPES: dict[str, type[_Data]] = {
    "thinking": _Thinking,
    "sources": _Sources,
    "token": _Token,
    "reasoning": _Reasoning,
    "progress": _Progress,
    "media": _Media,
    "usage": _Usage,
    "done": _Done,
    "error": _Error,
}

_decode_line = msgspec.json.Decoder(_Line).decode


def is_end(piece: Piece) -> bool:
    """Whether nothing may follow."""
    return isinstance(piece, model.Terminal)


def read(body: bytes) -> list[Piece]:
    """The pieces of a body, one for each line that is not empty.

    Raises :class:`~fairlead.errors.BadRequest`, which names the line.
    """
    found = list(_read(body))
    for number, piece in enumerate(found[:-1], start=1):
        if is_end(piece):
            raise BadRequest(f"line {number} ends the answer, and yet more lines follow")
    return found


def _read(body: bytes) -> Iterator[Piece]:
    for number, text in enumerate(filter(bytes.strip, body.split(b"\n")), start=1):
        try:
            line = _decode_line(text)
            kind = _TYPES.get(line.type)
            if kind is None:
                known = ", ".join(_TYPES)
                raise BadRequest(f"line {number}: 'type' must be one of: {known}")
            data: Any = msgspec.json.decode(line.data, type=kind)
            yield data.piece()
        except msgspec.ValidationError as error:
            raise BadRequest(f"line {number} is not right: {error}") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadRequest(f"line {number} is not valid JSON: {error}") from None
        except RecursionError:
            raise BadRequest(f"line {number} is nested too deeply") from None
        except ValueError as error:
            raise BadRequest(f"line {number}: {error}") from None
