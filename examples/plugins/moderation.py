"""Ends an answer, and refuses a question, that has one of the words in a list.

[[plugins]]
use = "./moderation.py:Moderation"
options = { words = ["gunpowder"] }
"""

import re
from collections.abc import Sequence

from fairlead.plugins import Caller, Chunk, Moderated, PromptTransform, StreamTransform, Turn


class Moderation(PromptTransform, StreamTransform):
    def __init__(self, words: list[str]) -> None:
        self.bad = re.compile("|".join(map(re.escape, words)), re.IGNORECASE)
        self.longest = max(map(len, words))

    def prompt(self, turns: tuple[Turn, ...], caller: Caller) -> Sequence[Turn]:
        if self.bad.search(turns[-1].text):
            raise Moderated("this is not talked about here")
        return turns

    def write(self, chunk: Chunk) -> tuple[str, str]:
        if self.bad.search(chunk.text):
            raise Moderated("the answer was ended: it came to what is not talked about here")
        # The last characters may be the beginning of a word in the list.
        held = 0 if chunk.last else self.longest - 1
        end = max(0, len(chunk.text) - held)
        return chunk.text[:end], chunk.text[end:]
