"""Budgets: how much may be asked for, by whom, in which time. Facts and now to claims on counters.

A budget is counted in windows that begin with the calendar's seconds, minutes, hours, days and
months (UTC), so that anybody can say when it refills. Each combination of what it is ``keyed_by``
has a counter of its own.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Literal

import msgspec

from fairlead.policy.caller import Caller
from fairlead.policy.facts import Keep
from fairlead.policy.prices import Price, Prices, shown

Unit = Literal["tokens", "requests", "money"]
Per = Literal["second", "minute", "hour", "day", "month"]

_SECONDS: dict[Per, int] = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
#: What a budget may be keyed by: words, ``kind:name`` for these kinds, and ``plugin:name``.
WORDS = ("consumer", "credential", "address", "model")
KINDS = ("header", "query", "cookie", "claim")
_NAMED = re.compile(r"(header|query|cookie|claim|plugin):([!#$%&'*+.^_`|~0-9A-Za-z:/-]{1,128})")

#: The claim in which a credential names the budgets that it draws on, parted by blanks.
QUOTA = "quota"
#: How the ids of API keys begin that Fairlead made: it knows what their quotas mean.
_API_KEY = "key:"

#: The longest text that stands in a key as it is.
_LONGEST = 64
#: Addresses of IPv6 are counted by network: whoever has one address has all of these.
_NETWORK_BITS = 64


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """At most ``limit`` of a ``unit`` in each window of ``per``.

    ``limit`` of money is in micro-units of ``currency``. ``keyed_by``: each combination of these
    has the limit for itself: ``consumer``, ``credential``, ``address``, ``model``, ``header:x``,
    ``query:x``, ``cookie:x``, ``claim:x``; none: all share it. ``models``: those it concerns; none
    given: all. ``quota``: it concerns those callers alone whose credential names it.
    ``on_exhausted``: an answer under way is ``cut`` at the limit, or waits (``slow``) for the next
    window. What slows down counts answers alone: a prompt cannot come more slowly.
    """

    name: str
    limit: int
    unit: Unit = "tokens"
    per: Per = "day"
    keyed_by: tuple[str, ...] = ("consumer",)
    models: tuple[str, ...] = ()
    on_exhausted: Literal["cut", "slow"] = "cut"
    currency: str = ""
    quota: bool = False

    def concerns(self, model: str) -> bool:
        """Whether asking this model costs anything of the budget."""
        return not self.models or model in self.models

    def stated(self) -> str:
        """The limit as people read it, such as ``1000 tokens per day``."""
        amount = shown(self.limit, self.currency) if self.unit == "money" else str(self.limit)
        unit = "" if self.unit == "money" else f" {self.unit}"
        return f"{amount}{unit} per {self.per}"


class Window(msgspec.Struct, frozen=True, gc=False):
    """From ``start`` up to ``end``, in seconds since 1970 (UTC)."""

    start: int
    end: int


def window(per: Per, now: float) -> Window:
    """The window that ``now`` (seconds since 1970, UTC) is in."""
    return _window(per, int(now))


@lru_cache(maxsize=64)
def _window(per: Per, second: int) -> Window:
    if per == "month":
        return _month(second // 86_400)
    length = _SECONDS[per]
    start = second - second % length
    return Window(start, start + length)


def _month(day: int) -> Window:
    first = datetime.fromtimestamp(day * 86_400, UTC).replace(day=1)
    year, month = first.year + first.month // 12, first.month % 12 + 1
    after = first.replace(year=year, month=month)
    return Window(int(first.timestamp()), int(after.timestamp()))


def wrong_key(text: str) -> str:
    """What is wrong with an item of ``keyed_by``, and what would be right; empty: nothing."""
    if text in WORDS or _NAMED.fullmatch(text):
        return ""
    return (
        f"{text[:80]!r} is nothing to key by; it must be consumer, credential, address, model, or "
        "header:x, query:x, cookie:x, claim:x, plugin:x with a name for x"
    )


class Line(msgspec.Struct, frozen=True, gc=False):
    """One budget of a question: the counter's key, and the model's price where it is money."""

    budget: Budget
    key: str
    price: Price | None

    def amount(self, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> int:
        """What an answer of so many tokens takes of the budget."""
        unit = self.budget.unit
        if self.budget.on_exhausted == "slow":
            input_tokens = cached_tokens = 0
        if unit == "tokens":
            return input_tokens + output_tokens
        if unit == "requests":
            return 1
        assert self.price is not None
        return self.price.cost(input_tokens, output_tokens, cached_tokens)

    def reach(self, input_tokens: int, amount: int) -> int:
        """How many tokens an answer may have that takes at most ``amount`` of the budget; below 0
        where even the prompt takes more."""
        unit = self.budget.unit
        if self.budget.on_exhausted == "slow":
            input_tokens = 0
        if unit == "tokens":
            return amount - input_tokens
        if unit == "requests":
            return _ANY if amount >= 1 else -1
        assert self.price is not None
        return self.price.reach(amount, input_tokens)


_ANY = 1 << 53
#: What a part of a key is, by caller and model.
KeyPart = Callable[[Caller, str], str]


class Unpriced(Exception):
    """A budget of money concerns a model that has no price in its currency."""

    def __init__(self, budget: Budget, model: str) -> None:
        super().__init__(f"the budget {budget.name!r} is in {budget.currency}")
        self.budget = budget
        self.model = model


class UnknownQuota(Exception):
    """An API key names a budget that there is not: it may draw on nothing then."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no budget {name!r}")
        self.name = name


class Budgets:
    """The budgets of a deployment, ready to be asked. ``keep`` is what they ask of requests.
    ``plugins``: what those say, by name, that budgets are keyed by. What these raise is raised."""

    def __init__(
        self,
        budgets: Iterable[Budget] = (),
        prices: Prices | None = None,
        plugins: Mapping[str, KeyPart] | None = None,
    ) -> None:
        self.all = tuple(budgets)
        self.prices = prices or Prices()
        self.keep = keep(self.all)
        self._names = frozenset(budget.name for budget in self.all)
        known = plugins or {}
        self._parts = tuple(
            (
                b,
                b.name,
                tuple(_part(item, known) for item in b.keyed_by),
                # Whether it is for some callers or models only, or has to know what they cost.
                bool(b.models or b.quota or b.unit == "money"),
            )
            for b in self.all
        )

    def lines(self, caller: Caller, model: str, answers: str = "") -> tuple[Line, ...]:
        """What counts when ``caller`` asks ``model``, at the prices of the model that ``answers``
        (empty: the same one). Raises :class:`Unpriced` and :class:`UnknownQuota`."""
        found = []
        quotas = caller.claims.get(QUOTA)
        named = quotas.split() if quotas else ()
        if named and caller.credential.startswith(_API_KEY):
            for name in named:
                if name not in self._names:
                    raise UnknownQuota(name)
        for budget, name, parts, special in self._parts:
            price = None
            if special:
                if budget.models and model not in budget.models:
                    continue
                if budget.quota and name not in named:
                    continue
                if budget.unit == "money":
                    price = self.prices.of(answers or model, budget.currency)
                    if price is None:
                        raise Unpriced(budget, answers or model)
            found.append(Line(budget, _key(name, parts, caller, model), price))
        return tuple(found)


def keep(budgets: Iterable[Budget]) -> Keep:
    """What of a request these budgets ask about."""
    names: dict[str, set[str]] = {kind: set() for kind in KINDS}
    for budget in budgets:
        for item in budget.keyed_by:
            kind, _, name = item.partition(":")
            if name and kind in names:
                names[kind].add(name.lower() if kind == "header" else name)
    return Keep(
        headers=frozenset(names["header"]),
        query=frozenset(names["query"]),
        cookies=frozenset(names["cookie"]),
        # Also where there is no budget: a key that names one is refused then.
        claims=frozenset(names["claim"] | {QUOTA}),
    )


def _key(name: str, parts: tuple[KeyPart, ...], caller: Caller, model: str) -> str:
    # Quoted, so that no value can look like two.
    if len(parts) == 1:
        return f"{name} {parts[0](caller, model)!r}"
    return f"{name} {','.join([repr(part(caller, model)) for part in parts])}" if parts else name


def _part(item: str, plugins: Mapping[str, KeyPart]) -> KeyPart:
    kind, _, name = item.partition(":")
    match kind:
        case "plugin":
            asked = plugins[name]
            return lambda caller, model: _short(asked(caller, model))
        case "consumer":
            return _consumer
        case "credential":
            return lambda caller, model: _short(caller.credential)
        case "address":
            return _address
        case "model":
            return lambda caller, model: _short(model)
        case "claim":
            return lambda caller, model: _short(caller.claims.get(name, ""))
        case "header":
            lower = name.lower()

            def header(caller: Caller, model: str) -> str:
                text = caller.facts.headers.get(lower)
                return _digest(text) if text else ""

            return header
        case "query":
            return lambda caller, model: _hidden(caller.facts.query.get(name, ""))
        case _:
            return lambda caller, model: _hidden(caller.facts.cookies.get(name, ""))


def _consumer(caller: Caller, model: str) -> str:
    text = caller.consumer
    return text if len(text) <= _LONGEST else _digest(text)


def _address(caller: Caller, model: str) -> str:
    address = caller.facts.address
    return address if ":" not in address else _network(address)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else _digest(text)


def _hidden(text: str) -> str:
    """What a client sent may be a secret, and is never kept as it is."""
    return _digest(text) if text else ""


@lru_cache(maxsize=4096)
def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def network(address: str) -> str:
    """An address as budgets count it: of IPv6 the network of 64 bits, and an IPv4 address that
    stands in an IPv6 one as itself."""
    return address if ":" not in address else _network(address)


@lru_cache(maxsize=4096)
def _network(address: str) -> str:
    try:
        parsed = IPv6Address(address.partition("%")[0])
    except ValueError:
        return _short(address)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    first = int(parsed) >> (128 - _NETWORK_BITS) << (128 - _NETWORK_BITS)
    return f"{IPv6Address(first)}/{_NETWORK_BITS}"


class Standing(msgspec.Struct, frozen=True, gc=False):
    """How a budget stands for one caller: ``taken`` of it in the window that ends at ``refills``
    (seconds since 1970, UTC). What running answers hold in advance is taken."""

    budget: Budget
    taken: int
    refills: int

    @property
    def remaining(self) -> int:
        """What is left; never below 0."""
        return max(0, self.budget.limit - self.taken)
