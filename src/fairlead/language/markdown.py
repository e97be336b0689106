"""Markdown as what a reader sees of it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fairlead.language.words import CJK

_FENCED = re.compile(
    r"^[ \t>]{0,8}(?P<fence>`{3,}|~{3,})[^\n]*\n(?P<code>.*?)"
    r"(?:^[ \t>]{0,8}(?P=fence)[`~]*[ \t]*$|\Z)",
    re.MULTILINE | re.DOTALL,
)
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_IMAGE = re.compile(r"!\[[^\[\]]*\]\([^()]*\)")
_LINK = re.compile(r"\[([^\[\]]+)\](?:\([^()]*\)|\[[^\[\]]*\])")
_NOTE = re.compile(r"\[\^?\d{1,3}\]|\[\^\w{1,20}\]")
_AUTOLINK = re.compile(r"<(https?://[^<>\s]+)>")
_LINE_BREAK = re.compile(r"<br ?/?>")
_TAG = re.compile(r"</?[A-Za-z][^<>]{0,200}>")
_STRONG = re.compile(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1")
_CODE = re.compile(r"(`+)(?!`)[^`]*\1")
_KEPT = re.compile("\0(\\d+)\0")
_BREAK = re.compile(rf"(?<=[{CJK}，。；：！？、])\s*\n\s*(?=[{CJK}])")
_RULE = re.compile(r"^[ \t]*\|?[ \t]*:?-{2,}:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$", re.M)


def plain(text: str) -> str:
    """Inline Markdown as plain text: no links' addresses, images, notes, tags and strong emphasis;
    code spans stay as they are, in links too. Lines of Chinese are joined without a space."""
    # Code spans are set aside: what looks like Markdown within them is none.
    codes: list[str] = []

    def aside(match: re.Match[str]) -> str:
        codes.append(match[0])
        return f"\0{len(codes) - 1}\0"

    text = _CODE.sub(aside, _BREAK.sub("", text.replace("\0", "")))
    text = _AUTOLINK.sub(r"\1", _LINK.sub(r"\1", _IMAGE.sub("", text)))
    text = _STRONG.sub(r"\2", _TAG.sub("", _LINE_BREAK.sub(" ", _NOTE.sub("", text))))
    return _KEPT.sub(lambda match: codes[int(match[1])], text)


def uncommented(text: str) -> str:
    """``text`` without its comments."""
    return _COMMENT.sub("", text)


def readable(text: str) -> str:
    """A passage as a few words of it may be shown: without fences (and what stands behind the
    language in one, which no reader sees), comments, rules of tables and inline marks."""
    text = _FENCED.sub(lambda match: match["code"].rstrip("\n"), uncommented(text))
    return plain(_RULE.sub("", text))


def split(text: str) -> Iterator[tuple[str, bool]]:
    """The stretches of ``text`` in order, each with whether it is code: fenced, or a command
    between backticks. A single name between backticks is none."""
    start = 0
    for match in _FENCED.finditer(text):
        yield from _split_line(text[start : match.start()])
        yield match["code"], True
        start = match.end()
    yield from _split_line(text[start:])


def _split_line(text: str) -> Iterator[tuple[str, bool]]:
    start = 0
    for match in _CODE.finditer(text):
        if " " in match[0]:
            yield text[start : match.start()], False
            yield match[0], True
            start = match.end()
    yield text[start:], False


def prose(text: str) -> str:
    """``text`` without code, fenced or inline: what shows the language it is written in."""
    return _CODE.sub(" ", "\n".join(part for part, code in split(text) if not code))
