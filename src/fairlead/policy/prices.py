"""What models cost, and so what an answer does."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

#: Micro-units (millionths) of a currency in one unit of it.
MICRO = 1_000_000
#: The name of a price that holds for every model without one of its own.
EVERY_MODEL = "*"


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """What a million tokens of ``model`` cost, in micro-units of ``currency``: of the prompt, of
    the answer, and of the part of the prompt that the model's server had in its cache."""

    model: str
    currency: str
    input: int
    output: int
    cached: int

    def cost(self, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> int:
        """Micro-units for so many tokens, rounded up. ``cached_tokens`` are some of the input's."""
        made = (
            (input_tokens - cached_tokens) * self.input
            + cached_tokens * self.cached
            + output_tokens * self.output
        )
        return -(-made // 1_000_000)

    def reach(self, micro: int, input_tokens: int) -> int:
        """How many tokens of an answer ``micro`` micro-units pay for beside the prompt; below 0
        where they do not even pay for that."""
        rest = micro * 1_000_000 - input_tokens * self.input
        if rest < 0:
            return -1
        return rest // self.output if self.output else _ANY


#: As many as anybody could want.
_ANY = 1 << 53


class Prices:
    """The price of each model, one for each currency."""

    def __init__(self, prices: Iterable[Price] = ()) -> None:
        self.all = tuple(prices)
        self._of: dict[tuple[str, str], Price] = {}
        for price in self.all:
            self._of.setdefault((price.model, price.currency), price)

    def of(self, model: str, currency: str) -> Price | None:
        """The price of a model in a currency; None where there is none."""
        return self._of.get((model, currency)) or self._of.get((EVERY_MODEL, currency))

    def first(self, model: str) -> Price | None:
        """The price by which an answer of the model is accounted for; None where there is none."""
        for wanted in (model, EVERY_MODEL):
            for price in self.all:
                if price.model == wanted:
                    return price
        return None


def shown(micro: int, currency: str) -> str:
    """An amount of money as people read it, such as ``1.25 USD``."""
    whole, rest = divmod(abs(micro), MICRO)
    decimals = f"{rest:06d}".rstrip("0").ljust(2, "0")
    return f"{'-' if micro < 0 else ''}{whole}.{decimals} {currency}"
