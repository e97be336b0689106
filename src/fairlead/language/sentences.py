"""Where sentences end, in English and Chinese."""

from __future__ import annotations

import re

#: After these a full stop does not end a sentence. Compared in lower case, without the stop.
_ABBREVIATIONS = """
e.g i.e vs cf approx dr mr mrs ms prof st jr sr fig eq sec ch vol ed eds dept est
jan feb mar apr jun jul aug sep sept oct nov dec
"""
#: These may well be the last word of a sentence: a capital letter after them begins another.
_OPEN = "etc al inc ltd co corp a.m p.m u.s u.k no"

_CLOSED = frozenset(_ABBREVIATIONS.split())
_EITHER = frozenset(_OPEN.split())

# Possessive, so that no text takes more than linear time: full stops written without spaces after
# them, full stops before a space, empty lines.
_END = re.compile(
    r"""
    (?: [。！？；｡]++ | …{1,2} (?=[\s\u3000-\u9fff]) ) [”’」』）】》"')]*+
    | (?<![.!?]) [.!?]++ (?: \[\^?\w{1,4}\] )?+ ["'”’)\]*_`]*+ (?= \s | $ | [\u3400-\u9fff] )
    | \n [ \t]*+ (?= \n )
    """,
    re.VERBOSE,
)
_CODE_SPAN = re.compile(r"`[^`\n]{1,200}`")
_LAST_WORD = re.compile(r"[\w.]*\Z")
_NEXT = re.compile(r"\s*[\"'“‘(\[`*_]*(\w?)")


def sentences(text: str) -> list[tuple[int, int]]:
    """The spans of the sentences of ``text``, in order, without the white space around them.
    Nothing ends within `` `code` ``.

    Every character that is not white space lies in exactly one of them.
    """
    spans: list[tuple[int, int]] = []
    start = 0
    code = [match.span() for match in _CODE_SPAN.finditer(text)]
    passed = 0
    for match in _END.finditer(text):
        while passed < len(code) and code[passed][1] <= match.start():
            passed += 1
        in_code = passed < len(code) and code[passed][0] < match.start()
        if in_code or _goes_on(text, match):
            continue
        _add(spans, text, start, match.end())
        start = match.end()
    _add(spans, text, start, len(text))
    return spans


def _goes_on(text: str, end: re.Match[str]) -> bool:
    """Whether the stop belongs to an abbreviation or a number and the sentence goes on."""
    if not end[0].startswith("."):
        return False
    following = _NEXT.match(text, end.end())
    after = following[1] if following else ""
    if after.islower():
        return True
    found = _LAST_WORD.search(text, max(0, end.start() - 16), end.start())
    word = found[0].lower().lstrip(".") if found else ""
    if word in _CLOSED:
        return True
    if word in _EITHER:
        return not after.isupper()
    # An initial ("J. Smith"), or the number of a list item.
    return (len(word) == 1 and word.isalpha() and word != "i") or (
        word.isdigit() and _begins_line(text, end.start() - len(word))
    )


def _begins_line(text: str, index: int) -> bool:
    return not text[text.rfind("\n", 0, index) + 1 : index].strip()


def _add(spans: list[tuple[int, int]], text: str, start: int, end: int) -> None:
    piece = text[start:end]
    body = piece.strip()
    if body:
        left = start + len(piece) - len(piece.lstrip())
        spans.append((left, left + len(body)))
