"""Masks e-mail addresses, phone numbers and payment cards, in questions and in answers.

plugins = ["./pii.py:Mask"] in the configuration file. Answers come in pieces, and a number may be
split over several: what may be the beginning of something to mask is held back until it is known.
"""

import re
from collections.abc import Sequence

import msgspec

from fairlead.plugins import Caller, Chunk, PromptTransform, StreamTransform, Turn

EMAIL = re.compile(r"[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}")
#: Digits in groups, as people write numbers of phones and cards.
NUMBER = re.compile(r"(?<![\w.])\+?\(?\d(?:[ ()/-]{0,2}\d){6,18}(?!\w)")
#: What may go on as one of them, at the end of a text.
UNFINISHED = re.compile(r"[\w.+%@-]{1,330}$|\+?\(?\d(?:[ ()/-]{0,2}\d){0,18}[ ()/-]{0,2}$|[+(]+$")


class Mask(PromptTransform, StreamTransform):
    def prompt(self, turns: tuple[Turn, ...], caller: Caller) -> Sequence[Turn]:
        return [msgspec.structs.replace(turn, text=masked(turn.text)) for turn in turns]

    def write(self, chunk: Chunk) -> tuple[str, str]:
        end = len(chunk.text)
        if not chunk.last and (found := UNFINISHED.search(chunk.text)):
            end = found.start()
            for number in NUMBER.finditer(chunk.text):
                if number.start() < end < number.end():
                    end = number.start()
        return masked(chunk.text[:end]), chunk.text[end:]


def masked(text: str) -> str:
    return NUMBER.sub(_number, EMAIL.sub("[e-mail]", text))


def _number(match: re.Match[str]) -> str:
    digits = re.sub(r"\D", "", match[0])
    if 13 <= len(digits) <= 19 and luhn(digits):
        return "[card]"
    # As long as phone numbers are (ITU-T E.164).
    return "[phone]" if 7 <= len(digits) <= 15 and not match[0].isdigit() else match[0]


def luhn(digits: str) -> bool:
    """Whether the last digit is what the others make it (ISO/IEC 7812-1)."""
    doubled = [int(d) * (1 + n % 2) for n, d in enumerate(reversed(digits))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0
