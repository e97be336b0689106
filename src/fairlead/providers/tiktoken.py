"""Counting tokens with tiktoken (the extra of that name), by a vocabulary in a file.

tiktoken itself would fetch vocabularies from the network when it first needs them. Nothing here
does: the operator keeps the file, one token in base64 and its rank on each line.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from fairlead.errors import Misconfigured

if find_spec("tiktoken") is not None:
    import tiktoken

    AVAILABLE = True
else:
    AVAILABLE = False

_INSTALL = "pip install 'fairlead[tiktoken]'"

#: How a text is parted before its pieces are looked up: words with the space before them, numbers
#: of three digits at most, runs of punctuation, line ends. That of ``o200k_base``; other
#: vocabularies part a little otherwise, which shifts their counts by little.
_PIECES = "|".join(
    [
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
#: Characters that are looked up at once: a long run without a space takes more than its share of
#: time. Cutting adds a token at most.
_AT_ONCE = 2000


def counter(file: Path) -> Callable[[str], int]:
    """How many tokens a text is, by the vocabulary in ``file``.

    Raises :class:`~fairlead.errors.Misconfigured` without tiktoken, or for what is no vocabulary.
    """
    if not AVAILABLE:
        raise Misconfigured(
            f"tokenizer: counting with a vocabulary needs tiktoken; install it with: {_INSTALL}",
            setting="tokenizer",
        )
    encoding = tiktoken.Encoding(
        name=file.stem, pat_str=_PIECES, mergeable_ranks=_ranks(file), special_tokens={}
    )

    def count(text: str) -> int:
        cut = (text[at : at + _AT_ONCE] for at in range(0, len(text), _AT_ONCE))
        return sum(len(encoding.encode_ordinary(piece)) for piece in cut)

    return count


def _ranks(file: Path) -> dict[bytes, int]:
    wrong = Misconfigured(
        f"tokenizer: {file} is no vocabulary of tiktoken: each line must be a token in base64 and "
        "its rank, and every single byte must be a token",
        setting="tokenizer",
    )
    try:
        text = file.read_bytes()
    except OSError as error:
        raise Misconfigured(
            f"tokenizer: {file} cannot be read: {error.strerror}", setting="tokenizer"
        ) from None
    ranks: dict[bytes, int] = {}
    try:
        for line in text.splitlines():
            token, _, rank = line.partition(b" ")
            ranks[base64.b64decode(token, validate=True)] = int(rank)
    except (binascii.Error, ValueError):
        raise wrong from None
    if len(set(ranks.values())) != len(ranks) or not all(bytes([n]) in ranks for n in range(256)):
        raise wrong
    return ranks
