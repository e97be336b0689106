"""``[[consumers]]``: consumers that get another share than the rest."""

from __future__ import annotations

import math
from typing import Annotated, Self

from fairlead.policy.admission import Share
from fairlead.server.tables.key import CONSUMER
from fairlead.server.tables.table import Table, says


class Consumer(Table, frozen=True, kw_only=True):
    """The share of one consumer of the room for answers."""

    consumer: Annotated[str, says("who asks")]
    weight: Annotated[
        float, says("with twice the weight twice as many turns, when questions wait")
    ] = 1.0
    max_generations: Annotated[
        int | None, says("answers at once; none given: `max_generations_each`")
    ] = None

    @property
    def share(self) -> Share:
        """As the engine takes it."""
        return Share(weight=self.weight, running=self.max_generations)

    def label(self) -> str:
        return self.consumer

    def summary(self) -> str:
        most = "" if self.max_generations is None else f", at most {self.max_generations}"
        return f"{self.consumer} (weight {self.weight:g}{most})"

    @classmethod
    def check(cls, tables: tuple[Self, ...]) -> str:
        known: set[str] = set()
        for each in tables:
            if not CONSUMER.fullmatch(each.consumer):
                return "a consumer is named by 1 to 128 letters, digits and . @ : + - _"
            if each.consumer in known:
                return f"{each.consumer}: it stands here twice"
            known.add(each.consumer)
            if not (math.isfinite(each.weight) and 0.001 <= each.weight <= 1000):
                return f"{each.consumer}: weight must be from 0.001 to 1000"
            if each.max_generations is not None and not 1 <= each.max_generations <= 1_000_000:
                return f"{each.consumer}: max_generations must be from 1 to 1000000"
        return ""
