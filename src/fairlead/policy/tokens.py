"""The stated heuristic for counting tokens where no tokenizer and no provider says better."""

from __future__ import annotations

import re

from fairlead.events.attachment import Attachment, is_text

#: Tokens that a picture counts for. Models differ from 85 to 1,600 and more.
PICTURE = 1000

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


def estimate_attachment(attachment: Attachment) -> int:
    """About how many tokens an attachment is to a model: a quarter of a text's bytes, which holds
    for Chinese too; for anything else what an ordinary picture costs."""
    return len(attachment.data) // 4 if is_text(attachment.type) else PICTURE


def is_dense(text: str) -> bool:
    """Whether the text is written in Chinese, Japanese or Korean for a good part."""
    return len(_DENSE.findall(text)) * 3 > len(text)
