"""The stated heuristic for counting tokens where no tokenizer and no provider says better."""

from __future__ import annotations

import re

import msgspec

from fairlead.events.attachment import Attachment, is_text

#: Tokens that a picture counts for. Models differ from 85 to 1,600 and more.
PICTURE = 1000

#: The names under which applications send text in their events: vendors' and common ones.
TEXTS = frozenset(
    {
        "answer",
        "arguments",
        "chunk",
        "content",
        "data",
        "delta",
        "input",
        "message",
        "output",
        "output_text",
        "partial_json",
        "reasoning",
        "reasoning_content",
        "refusal",
        "response",
        "text",
        "thinking",
        "token",
    }
)

_REPEATS = (".done", ".completed")

# Scripts written without spaces, where a character is most of a token: CJK, kana, hangul.
_DENSE = re.compile("[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")


def estimate(text: str) -> int:
    """About how many tokens ``text`` is: a quarter of its characters, three quarters for each
    Chinese, Japanese or Korean one; at least 1 for any text. Code is underestimated by a third."""
    if not text:
        return 0
    dense = len(_DENSE.findall(text))
    return max(1, round((len(text) - dense) / 4 + dense * 0.75))


def estimate_piece(text: str) -> int:
    """About how many tokens a piece of a streamed answer is: at least 1, since models' servers send
    token by token; more only where it is too long to be a single one."""
    if len(text) <= 16 and text.isascii():
        return 1
    return max(1, estimate(text))


def estimate_event(data: bytes) -> int:
    """About how many tokens a message of another application's is: as a piece of an answer, so at
    least 1; 0 for an empty one.

    Of JSON only what is text counts: the strings under the names that such applications give it
    (:data:`TEXTS`), or, where there is none, the longest one. An event whose ``type`` says that it
    repeats at the end what was said (OpenAI's ``….done`` and ``….completed``) is no text. What is
    not JSON is text as a whole.
    """
    if not data:
        return 0
    try:
        found = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return estimate_piece(data.decode(errors="replace"))
    if isinstance(found, dict) and str(found.get("type", "")).endswith(_REPEATS):
        return 1
    text, longest = _texts(found)
    return estimate_piece(text or longest)


def _texts(found: object) -> tuple[str, str]:
    """The strings that are text, one after the other, and the longest of all strings."""
    texts: list[str] = []
    longest = ""
    # Without recursion: what is nested deeply is no reason to fail.
    waiting: list[tuple[object, bool]] = [(found, True)]
    while waiting:
        value, is_text = waiting.pop()
        if isinstance(value, str):
            if is_text:
                texts.append(value)
            if len(value) > len(longest):
                longest = value
        elif isinstance(value, dict):
            waiting += [(one, name in TEXTS) for name, one in value.items()]
        elif isinstance(value, list):
            waiting += [(one, is_text) for one in value]
    return "".join(texts), longest


def estimate_attachment(attachment: Attachment) -> int:
    """About how many tokens an attachment is to a model: a quarter of a text's bytes, which holds
    for Chinese too; for anything else what an ordinary picture costs."""
    return len(attachment.data) // 4 if is_text(attachment.type) else PICTURE


def is_dense(text: str) -> bool:
    """Whether the text is written in Chinese, Japanese or Korean for a good part."""
    return len(_DENSE.findall(text)) * 3 > len(text)
