"""Client secrets: good for many sessions, not for long, and not beyond who made them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fairlead.errors import Busy, Unauthenticated
from fairlead.identity import client_secrets
from fairlead.identity.client_secrets import ClientSecrets, is_secret
from fairlead.identity.tickets import TicketIdentity
from fairlead.policy.caller import READ, Caller
from fairlead.stores.memory_tickets import MemoryTickets
from fairlead.testing.clock import Clock

ANN = Caller("ann", frozenset({READ}), 5000.0, "key:1", {"tier": "gold"})


async def test_a_secret_stands_for_its_maker_until_it_ends() -> None:
    clock = Clock()
    secrets = ClientSecrets(MemoryTickets(clock), clock)
    issued = await secrets.issue(ANN, 60, '{"model":"m"}')
    assert is_secret(issued.value)
    assert issued.expires_at == clock() + 60
    for _ in range(2):
        assert await secrets.identify(issued.value) == ANN
        assert await secrets.settings(issued.value) == '{"model":"m"}'
    clock.advance(60)
    with pytest.raises(Unauthenticated):
        await secrets.identify(issued.value)
    assert await secrets.settings(issued.value) == ""


async def test_a_one_use_ticket_is_no_secret_nor_a_secret_a_ticket() -> None:
    clock = Clock()
    kept = MemoryTickets(clock)
    secrets, tickets = ClientSecrets(kept, clock), TicketIdentity(kept, clock)
    for credential in (await tickets.issue(ANN), "ek_" + "0" * 32, "ek_", "", None):
        with pytest.raises(Unauthenticated):
            await secrets.identify(credential)
    issued = await secrets.issue(ANN, 60, "")
    with pytest.raises(Unauthenticated):
        await tickets.identify(issued.value)
    assert await secrets.identify(issued.value) == ANN


async def test_nobody_hoards_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    clock: Callable[[], float] = Clock()
    monkeypatch.setattr(client_secrets, "MOST", 2)
    secrets = ClientSecrets(MemoryTickets(clock), clock)
    for _ in range(2):
        await secrets.issue(ANN, 60, "")
    with pytest.raises(Busy):
        await secrets.issue(ANN, 60, "")
    await secrets.issue(Caller("bob"), 60, "")
