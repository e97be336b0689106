"""The allowance of an answer: how many tokens its model is told to write at most.

An answer that is cut has cost more than was shown of it: the model goes on writing until it hears
that nobody wants the rest. Near a budget's end the model is therefore told beforehand what there
is, and stops by itself. What is told cannot be changed any more, so nothing is told while there is
plenty. Several answers are told the same rest, of which each fetches as it goes; but where there is
a crowd, each gets a share of its own, and holds it as a whole: all of them together cannot have the
models write more than there is then.
"""

from __future__ import annotations

import msgspec

#: Answers at once that are no crowd, whatever the limit.
FEW = 4
#: Tokens of a limit for each answer that is written: with less it is a crowd.
EACH = 1024
#: Tokens from which on there is plenty for an answer. Models with a small context refuse to be told
#: a number that is larger than what they can write.
PLENTY = 2048
#: Tokens a second of a model that is not slow. A budget that refills before such a model could have
#: written all there is does not bound the answer.
PACE = 20.0


class Rest(msgspec.Struct, frozen=True):
    """What a budget has for an answer: ``room`` in tokens, what the answer has reserved included,
    of a ``limit``, for so many ``seconds`` until it refills; ``others`` are being written that draw
    on it."""

    room: int
    limit: int
    seconds: float
    others: int

    @property
    def bounds(self) -> bool:
        """Whether an answer can reach its end before it refills."""
        return self.room <= self.seconds * PACE

    @property
    def crowded(self) -> bool:
        """Whether so many draw on it that each must have its own share."""
        return self.others >= max(FEW, self.limit // EACH)

    @property
    def share(self) -> int:
        """An equal share of what there is."""
        return self.room // (self.others + 1)
