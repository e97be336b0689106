"""What the scripted upstream can be told to do: small frozen values.

A *token* here is one delta that carries something: a piece of text, of reasoning or of a tool call.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal


def split_tokens(text: str) -> tuple[str, ...]:
    """Words with the white space after them; joined, they are the text again."""
    return tuple(re.findall(r"\s*\S+\s*|\s+", text))


@dataclass(frozen=True, slots=True)
class Pace:
    """When the next token goes out.

    delay_s: seconds before each token and before the end of the answer. 0: at once.
    gated: each token, each fault but ``Stall``, and the end of the answer wait for a
        ``release()``. What comes before the first token (headers, role) does not wait.
    drip_s: seconds between the pieces of one event, where ``Wire`` splits it.
    """

    delay_s: float = 0.0
    gated: bool = False
    drip_s: float = 0.0

    def __post_init__(self) -> None:
        if self.delay_s < 0 or self.drip_s < 0:
            raise ValueError("a delay must not be negative")
        if self.gated and self.delay_s:
            raise ValueError("a gated answer waits for release(), not for a delay")


@dataclass(frozen=True, slots=True)
class Wire:
    """How an answer's events become bytes. The default is what OpenAI sends.

    newline: the line end: LF, CR or CRLF.
    space: a space after ``data:``.
    bom: a byte order mark before the first event.
    comment: a comment line before every event, with this text.
    multiline: each JSON object on several ``data:`` lines.
    ascii: ``\\u`` escapes instead of UTF-8.
    piece_bytes: write each event in pieces of so many bytes, each its own HTTP chunk and its own
        ``send()``. 0: whole.
    split_characters: also cut inside every multibyte character.
    chunked: False sends the body bare and ends it by closing the connection.
    done_blank_line: False leaves out the blank line after ``[DONE]``, as some servers do.
    """

    newline: bytes = b"\n"
    space: bool = True
    bom: bool = False
    comment: str = ""
    multiline: bool = False
    ascii: bool = False
    piece_bytes: int = 0
    split_characters: bool = False
    chunked: bool = True
    done_blank_line: bool = True

    def __post_init__(self) -> None:
        if self.newline not in (b"\n", b"\r", b"\r\n"):
            raise ValueError("newline must be LF, CR or CRLF")
        if self.piece_bytes < 0:
            raise ValueError("piece_bytes must not be negative")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One tool call; the arguments (JSON text) arrive in ``pieces`` deltas after its opening."""

    name: str
    arguments: str = "{}"
    id: str = "call_1"
    pieces: int = 3


# -- faults: what goes wrong within an answer ------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reset:
    """A TCP reset after so many tokens.

    A reset may overtake data the client has not read yet: to be sure that it saw the tokens, gate
    the answer and release the reset when it has.
    """

    after: int = 0


@dataclass(frozen=True, slots=True)
class Close:
    """The body ends after so many tokens, with neither finish reason nor ``[DONE]``.

    clean: True ends the body as HTTP demands, so that only the missing ``[DONE]`` tells. False
        closes the connection within the chunked body.
    """

    after: int = 0
    clean: bool = True


@dataclass(frozen=True, slots=True)
class Truncate:
    """The next event is announced in full, half of it is sent, and the connection closes."""

    after: int = 0


@dataclass(frozen=True, slots=True)
class Stall:
    """Silence after so many tokens; the connection stays open until the client closes it."""

    after: int = 0


@dataclass(frozen=True, slots=True)
class StreamError:
    """``data: {"error": {…}}`` after so many tokens; then the body ends.

    done: send ``[DONE]`` after it, as some servers do.
    """

    after: int = 0
    error: Mapping[str, Any] = field(
        default_factory=lambda: {
            "message": "The server had an error while processing your request.",
            "type": "server_error",
            "param": None,
            "code": None,
        }
    )
    done: bool = False


@dataclass(frozen=True, slots=True)
class Insert:
    """These very bytes stand in the body after so many tokens; then the answer goes on.

    The default is an event whose data is not JSON.
    """

    after: int = 0
    data: bytes = b"data: {not json\n\n"


@dataclass(frozen=True, slots=True)
class HugeLine:
    """A valid chunk on one line of ``size`` bytes after so many tokens; then the answer goes on.

    Its content is that many ``x`` as fit; one smaller than a chunk with one ``x`` is sent as that.
    """

    after: int = 0
    size: int = 1 << 21


Fault = Reset | Close | Truncate | Stall | StreamError | Insert | HugeLine


# -- behaviours: what one request is answered with -------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of a model.

    text: the content, sent word by word; or give ``tokens``, the deltas themselves.
    reasoning: sent before the content, under the name ``reasoning_field`` (DeepSeek, vLLM and
        others say ``reasoning_content``, OpenRouter and others ``reasoning``).
    tool_calls: sent after the content.
    alternatives: the texts of further choices (index 1, 2, …), interleaved with the first.
    finish_reason: None says ``tool_calls`` if there are any, else ``stop``.
    usage: the usage object; None counts tokens and the words of the messages.
    usage_chunk: whether a stream ends with the usage chunk (``choices: []``); None does as the
        request's ``stream_options.include_usage`` says.
    chunk_extra, delta_extra: unknown vendor fields for every chunk and every delta (and for the
        object and the message of a whole answer).
    model: None repeats the model asked for.
    obeys: it writes no more tokens than the request's ``max_completion_tokens``, ``max_tokens`` or
        ``max_output_tokens`` (of the first choice), and ends with ``length`` where that cuts it.
    stream: None does as the request says; False answers with JSON even where a stream was asked
        for; True streams unasked.
    content_type: of a streamed answer.
    pace, wire: see there. faults: what goes wrong, see the classes above; one ``after`` the last
        token strikes before the finish reason. In a whole answer ``Reset``, ``Close``, ``Truncate``
        and ``Stall`` strike in the middle of the body, and the others do nothing.
    """

    text: str = ""
    tokens: Sequence[str] = ()
    reasoning: str | Sequence[str] = ""
    reasoning_field: Literal["reasoning_content", "reasoning"] = "reasoning_content"
    tool_calls: Sequence[ToolCall] = ()
    alternatives: Sequence[str] = ()
    finish_reason: str | None = None
    usage: Mapping[str, Any] | None = None
    usage_chunk: bool | None = None
    chunk_extra: Mapping[str, Any] = field(default_factory=dict)
    delta_extra: Mapping[str, Any] = field(default_factory=dict)
    model: str | None = None
    obeys: bool = False
    stream: bool | None = None
    content_type: str = "text/event-stream; charset=utf-8"
    pace: Pace = Pace()
    wire: Wire = Wire()
    faults: Sequence[Fault] = ()

    def __post_init__(self) -> None:
        if self.text and self.tokens:
            raise ValueError("give text or tokens, not both")

    def text_tokens(self) -> tuple[str, ...]:
        """The deltas of the first choice's content."""
        return tuple(self.tokens) or split_tokens(self.text)

    def reasoning_tokens(self) -> tuple[str, ...]:
        """The deltas of the reasoning."""
        if isinstance(self.reasoning, str):
            return split_tokens(self.reasoning)
        return tuple(self.reasoning)

    def within(self, most: int) -> Answer:
        """The answer as far as it obeys a request that allows so many tokens."""
        reasoning, text = self.reasoning_tokens(), self.text_tokens()
        calls = any(self.tool_calls)
        if not self.obeys or len(reasoning) + len(text) + calls <= most:
            return self
        return replace(
            self,
            text="",
            reasoning=reasoning[:most],
            tokens=text[: max(0, most - len(reasoning))],
            tool_calls=(),
            finish_reason="length",
        )


@dataclass(frozen=True, slots=True)
class Echo:
    """Answer with the text of the last user message, word by word."""

    pace: Pace = Pace()
    wire: Wire = Wire()


@dataclass(frozen=True, slots=True)
class Status:
    """An HTTP error with OpenAI's error object, or with a page of HTML as proxies send it.

    retry_after: the ``Retry-After`` header, in seconds or as text (an HTTP date, or nonsense).
    message: None says something fitting. headers: further ones.
    """

    code: int
    message: str | None = None
    retry_after: float | str | None = None
    html: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Silent:
    """Accept and say nothing until the client leaves.

    headers: False sends not even headers; True sends those of a stream first.
    """

    headers: bool = False


@dataclass(frozen=True, slots=True)
class Refuse:
    """Reset the connection as soon as the request has been read, before any answer."""


Behaviour = Answer | Echo | Status | Silent | Refuse
