"""The small kinds of plugins: who asks, who may come in, whose budget it is, who answers."""

import hashlib

from fairlead.plugins import (
    BudgetKey,
    Caller,
    Facts,
    Identity,
    Keep,
    Refusal,
    Rule,
    Unauthenticated,
)


class Staff(Identity):
    """Knows the badges of a list: SHA-256 of the badge, and its holder's name."""

    def __init__(self, badges: dict[str, str]) -> None:
        self.badges = badges

    async def identify(self, credential: str) -> Caller | None:
        if not credential.startswith("badge-"):
            return None  # somebody else may know it
        name = self.badges.get(hashlib.sha256(credential.encode()).hexdigest())
        if name is None:
            raise Unauthenticated("this badge is not known, or has been taken back")
        return Caller(consumer=name)


class Tenants(Rule):
    """Lets in who names a tenant."""

    keep = Keep(headers=frozenset({"x-tenant"}))

    def judge(self, facts: Facts, caller: Caller | None) -> Refusal | None:
        if facts.path.startswith("/chat/") and not facts.headers.get("x-tenant"):
            return Refusal("name your tenant in the header X-Tenant")
        return None


class Tenant(BudgetKey):
    """Each tenant has the budget for itself, whatever letters it is written in."""

    keep = Keep(headers=frozenset({"x-tenant"}))

    def key(self, caller: Caller, facts: Facts, model: str) -> str:
        return facts.headers.get("x-tenant", "").lower()


async def parrot(request):
    """A model of your own: an asynchronous generator."""
    yield "You said: "
    yield request.turns[-1].text
