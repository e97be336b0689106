"""What the gate goes by: the rules, and which proxies are believed. It may change while the server
runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec

from fairlead.errors import FairleadError, Forbidden, TooMany
from fairlead.policy.addresses import Networks
from fairlead.policy.caller import Caller
from fairlead.policy.facts import Facts
from fairlead.policy.rules import Refusal, Rules
from fairlead.server.config import Config

#: Says of a request, and of who makes it (None: nobody that is known), why it may not come in.
Judge = Callable[[Facts, Caller | None], Awaitable[FairleadError | None]]

#: Where a proxy says whom it speaks for.
ProxyHeader = Literal["x-forwarded-for", "forwarded", "proxy-protocol"]


class Policy(msgspec.Struct, frozen=True):
    """What the gate goes by: ``rules``, the proxies that are believed when they say by ``header``
    whom they speak for, and ``judges``, who are asked when the rules let a request in."""

    rules: Rules
    trusted: Networks
    header: ProxyHeader = "x-forwarded-for"
    judges: tuple[Judge, ...] = ()


def policy_of(config: Config, judges: tuple[Judge, ...] = ()) -> Policy:
    """What a configuration and its plugins say of it."""
    return Policy(
        Rules(
            [table.rule for table in config.rules],
            allowed=Networks(config.allow_addresses),
            denied=Networks(config.deny_addresses),
        ),
        Networks(config.trusted_proxies),
        config.proxy_header,
        judges,
    )


class Entrance:
    """The policy that is in force."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def change(self, policy: Policy) -> None:
        """Go by another one from now on; what was counted under a rule stays counted."""
        policy.rules.inherit(self.policy.rules)
        self.policy = policy


def judge(rules: Rules) -> Callable[[Caller], FairleadError | None]:
    """Says whether somebody who came in earlier may stay, by rules that are new."""

    def judged(caller: Caller) -> FairleadError | None:
        refusal = rules.bans(caller)
        return None if refusal is None else refused(refusal)

    return judged


def refused(refusal: Refusal) -> FairleadError:
    """The error that a refusal is."""
    if refusal.retry_after is not None:
        return TooMany(
            f"more requests than the rule {refusal.rule!r} of this server allows",
            retry_after=refusal.retry_after,
            rule=refusal.rule,
        )
    if refusal.lacks:
        return Forbidden(
            f"the rule {refusal.rule!r} of this server requires {refusal.lacks}", rule=refusal.rule
        )
    return Forbidden(
        f"the rule {refusal.rule!r} of this server does not let this request in", rule=refusal.rule
    )
