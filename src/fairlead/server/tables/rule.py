"""``[[rules]]``: which requests may come in, and how often."""

from __future__ import annotations

import re
from typing import Annotated, Self

import msgspec

from fairlead.policy import rules
from fairlead.policy.addresses import Networks
from fairlead.server.tables.table import Table, says

_RATE = re.compile(r"(\d{1,9})/(s|min|h|second|minute|hour)")
_SECONDS = {"s": 1.0, "second": 1.0, "min": 60.0, "minute": 60.0, "h": 3600.0, "hour": 3600.0}
_TOKEN = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Rule(Table, frozen=True, kw_only=True):
    """One rule. What it names of a request must all be so for the rule to concern it."""

    name: Annotated[str, says("for people, in messages and the log")]
    act: Annotated[
        rules.Act,
        says(
            "`allow`: come in, and no further rule is asked; `deny`; `require`: deny what lacks "
            "`requires_headers` or `requires_query`; `rate`: deny what comes more often than `rate`"
        ),
    ]
    paths: Annotated[
        tuple[str, ...], says('globs of the path, one of them: `["/v1/*", "/chat/stream"]`')
    ] = ()
    methods: Annotated[frozenset[str], says('HTTP methods: `["POST"]`')] = frozenset()
    addresses: Annotated[
        tuple[str, ...], says('networks or addresses of the client: `["10.0.0.0/8"]`')
    ] = ()
    consumers: Annotated[tuple[str, ...], says("globs of who asks; nobody is the empty text")] = ()
    query: Annotated[dict[str, str], says("URL parameters and globs of their values")] = (
        msgspec.field(default_factory=dict)
    )
    headers: Annotated[
        dict[str, str], says("headers (small letters) and globs of their values")
    ] = msgspec.field(default_factory=dict)
    requires_query: Annotated[
        dict[str, str], says("for `require`: parameters that must be there, and globs")
    ] = msgspec.field(default_factory=dict)
    requires_headers: Annotated[
        dict[str, str], says("for `require`: headers that must be there, and globs")
    ] = msgspec.field(default_factory=dict)
    rate: Annotated[str, says("for `rate`: such as `10/s`, `100/min` or `1000/h`")] = ""
    per: Annotated[
        rules.Per, says("for `rate`: of each `address`, each `consumer`, or `all` together")
    ] = "address"

    @property
    def rule(self) -> rules.Rule:
        """As the gate takes it."""
        match = _RATE.fullmatch(self.rate)
        return rules.Rule(
            name=self.name,
            act=self.act,
            paths=self.paths,
            methods=self.methods,
            networks=Networks(self.addresses) if self.addresses else None,
            consumers=self.consumers,
            query=self.query,
            headers=self.headers,
            requires_query=self.requires_query,
            requires_headers=self.requires_headers,
            rate=int(match[1]) if match else 0,
            seconds=_SECONDS[match[2]] if match else 1.0,
            per=self.per,
        )

    def summary(self) -> str:
        return f"{self.name} ({self.act}{f' {self.rate}' if self.rate else ''})"

    @classmethod
    def check(cls, tables: tuple[Self, ...]) -> str:
        names: set[str] = set()
        for rule in tables:
            if not rule.name or not rule.name.isprintable() or len(rule.name) > 128:
                return "every rule needs a name, of at most 128 characters"
            if rule.name in names:
                return f"{rule.name}: this name is used twice"
            names.add(rule.name)
            if wrong := rule._wrong():
                return f"{rule.name}: {wrong}"
        return ""

    def _wrong(self) -> str:
        if unknown := sorted(self.methods - _METHODS):
            return f"no such method: {unknown[0][:20]}; there are {', '.join(sorted(_METHODS))}"
        for name in (*self.headers, *self.requires_headers):
            if not _TOKEN.fullmatch(name):
                return f"{name[:80]!r} is no header; write its name in small letters"
        if any(not path.startswith(("/", "*")) for path in self.paths):
            return "paths must begin with a slash, such as /v1/*"
        try:
            Networks(self.addresses)
        except ValueError as error:
            return f"addresses: {error}"
        requires = bool(self.requires_query or self.requires_headers)
        if requires != (self.act == "require"):
            return "'require' goes with requires_headers or requires_query, and they with it"
        if bool(self.rate) != (self.act == "rate"):
            return "'rate' goes with a rate such as 10/s, and it with 'rate'"
        match = _RATE.fullmatch(self.rate)
        if self.rate and (match is None or int(match[1]) == 0):
            return f"{self.rate[:40]!r} is no rate; write such as 10/s, 100/min or 1000/h"
        return ""
