"""Rules: who may come in with what, and how often. Asked for each request, before anything else."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from fairlead.policy.addresses import Networks, address
from fairlead.policy.caller import Caller
from fairlead.policy.facts import Facts, Keep
from fairlead.policy.routing import fits

#: What a rule does with a request that it is for. ``allow``: it may come in, no further rule is
#: asked. ``deny``: it may not. ``require``: it may not unless it has what the rule requires.
#: ``rate``: it may, so often.
Act = Literal["allow", "deny", "require", "rate"]
#: Of what a rate is: each address (IPv6: each /64 network, of which one host has as many addresses
#: as it likes), each consumer, or all together.
Per = Literal["address", "consumer", "all"]

#: Rates that are remembered at once; the ones longest unused are forgotten first.
REMEMBERED = 100_000


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule. It is for requests of which all hold that it names: ``paths`` (globs, one of them),
    ``methods``, ``networks`` (one of them), ``consumers`` (globs, one of them), and for each name
    in ``query`` and ``headers`` (small letters) a value that fits the glob.

    ``requires_query`` and ``requires_headers``: what a request must have, for ``require``.
    ``rate``: requests in ``seconds``, as many at once as that allows.
    """

    name: str
    act: Act
    paths: tuple[str, ...] = ()
    methods: frozenset[str] = frozenset()
    networks: Networks | None = None
    consumers: tuple[str, ...] = ()
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    requires_query: dict[str, str] = {}
    requires_headers: dict[str, str] = {}
    rate: int = 0
    seconds: float = 1.0
    per: Per = "address"

    @property
    def keep(self) -> Keep:
        """What of a request it looks at."""
        return Keep(
            headers=frozenset(self.headers) | frozenset(self.requires_headers),
            query=frozenset(self.query) | frozenset(self.requires_query),
        )

    @property
    def knows_callers(self) -> bool:
        """Whether it must be known who asks."""
        return bool(self.consumers) or (self.act == "rate" and self.per == "consumer")

    def concerns(self, facts: Facts, consumer: str) -> bool:
        """Whether it is for this request."""
        if self.methods and facts.method not in self.methods:
            return False
        if self.paths and not any(fits(path, facts.path) for path in self.paths):
            return False
        if self.networks is not None and address(facts.address) not in self.networks:
            return False
        if self.consumers and not any(fits(glob, consumer) for glob in self.consumers):
            return False
        return _fit(self.headers, facts.headers) and _fit(self.query, facts.query)

    def lacks(self, facts: Facts) -> str:
        """What the request lacks of what is required, in words; empty: nothing."""
        for name, glob in self.requires_headers.items():
            if not _fit({name: glob}, facts.headers):
                return f"the header {name}" + ("" if glob == "*" else " with a value that is known")
        for name, glob in self.requires_query.items():
            if not _fit({name: glob}, facts.query):
                return f"the parameter {name}" + (
                    "" if glob == "*" else " with a value that is known"
                )
        return ""


class Refusal(NamedTuple):
    """Why a request may not come in: the rule's name, what it lacks (empty: nothing would help),
    and in how many seconds it may (None: never)."""

    rule: str
    lacks: str = ""
    retry_after: float | None = None


class Rules:
    """What a server lets in. An address in ``denied`` never is, nor, where ``allowed`` has any, one
    that is not in it; then the rules are asked in their order, and the first one that refuses or
    allows decides. Where none does, the request may come in."""

    def __init__(
        self,
        rules: Sequence[Rule] = (),
        *,
        allowed: Networks | None = None,
        denied: Networks | None = None,
    ) -> None:
        self.rules = tuple(rules)
        self._allowed = allowed or Networks()
        self._denied = denied or Networks()
        self.keep = Keep()
        for rule in self.rules:
            self.keep = self.keep | rule.keep
        self.knows_callers = any(rule.knows_callers for rule in self.rules)
        # Per rule and key, when the next request would be due if they came evenly.
        self._due: OrderedDict[tuple[str, str], float] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self.rules or self._allowed or self._denied)

    def refusal(self, facts: Facts, consumer: str, now: float) -> Refusal | None:
        """Why a request may not come in at ``now`` (seconds, any clock that only rises); None: it
        may. Counts it towards the rates that it is under."""
        if refusal := self._turned_away(facts):
            return refusal
        for rule in self.rules:
            if not rule.concerns(facts, consumer):
                continue
            match rule.act:
                case "allow":
                    return None
                case "deny":
                    return Refusal(rule.name)
                case "require":
                    if lacks := rule.lacks(facts):
                        return Refusal(rule.name, lacks)
                case "rate":
                    wait = self._take(rule, facts, consumer, now)
                    if wait > 0:
                        return Refusal(rule.name, retry_after=wait)
        return None

    def bans(self, caller: Caller) -> Refusal | None:
        """Why somebody who came in earlier may not stay, by what is denied now; None: may."""
        if refusal := self._turned_away(caller.facts):
            return refusal
        for rule in self.rules:
            if rule.act in ("allow", "deny") and rule.concerns(caller.facts, caller.consumer):
                return Refusal(rule.name) if rule.act == "deny" else None
        return None

    def _turned_away(self, facts: Facts) -> Refusal | None:
        if not facts.address or not (self._denied or self._allowed):
            return None
        found = address(facts.address)
        if found in self._denied:
            return Refusal("deny_addresses")
        if self._allowed and found not in self._allowed:
            return Refusal("allow_addresses")
        return None

    def _take(self, rule: Rule, facts: Facts, consumer: str, now: float) -> float:
        """Count one request; seconds until there would be room for it, 0: there was."""
        match rule.per:
            case "address":
                key = _whose(facts.address)
            case "consumer":
                key = consumer
            case "all":
                key = ""
        # GCRA (ITU-T I.371): one number per key, exact, and nothing to refill.
        step = rule.seconds / rule.rate
        due = max(self._due.get((rule.name, key), now), now)
        early = due - now - (rule.seconds - step)
        if early > 1e-9:
            return early
        self._due[rule.name, key] = due + step
        self._due.move_to_end((rule.name, key))
        while len(self._due) > REMEMBERED:
            self._due.popitem(last=False)
        return 0.0

    def inherit(self, old: Rules) -> None:
        """Go on with the counts of the rules before a change, so that a change forgives nothing."""
        names = {rule.name for rule in self.rules if rule.act == "rate"}
        self._due = OrderedDict((key, due) for key, due in old._due.items() if key[0] in names)


def _whose(text: str) -> str:
    found = address(text)
    if found is None or found.version == 4:
        return text
    return f"{int(found) >> 64:x}"


def _fit(wanted: dict[str, str], found: dict[str, str]) -> bool:
    return all(name in found and fits(glob, found[name]) for name, glob in wanted.items())
