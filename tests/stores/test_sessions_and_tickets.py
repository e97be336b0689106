"""Sessions and tickets: one suite over every store of them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from fairlead.policy.caller import ADMIN, READ
from fairlead.ports.sessions import Session, Sessions
from fairlead.ports.tickets import Ticket, Tickets
from fairlead.stores.memory_sessions import MemorySessions
from fairlead.stores.memory_tickets import MemoryTickets
from fairlead.stores.sqlite_gateway import SqliteGateway
from fairlead.stores.sqlite_sessions import SqliteSessions
from fairlead.stores.sqlite_tickets import SqliteTickets
from fairlead.testing.clock import Clock


class Kit(NamedTuple):
    """The first and the second of each pair hold the same; they may be one and the same store."""

    sessions: tuple[Sessions, Sessions]
    tickets: tuple[Tickets, Tickets]
    clock: Clock


@pytest.fixture(params=["memory", "sqlite, two of one file"])
async def kit(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kit]:
    clock = Clock()
    if request.param == "memory":
        sessions, tickets = MemorySessions(clock), MemoryTickets(clock)
        await sessions.open()
        await tickets.open()
        yield Kit((sessions, sessions), (tickets, tickets), clock)
        return
    here, there = (SqliteGateway(tmp_path / "gateway.db") for _ in range(2))
    kit = Kit(
        (SqliteSessions(here, clock), SqliteSessions(there, clock)),
        (SqliteTickets(here, clock), SqliteTickets(there, clock)),
        clock,
    )
    for gateway in (here, there):
        await gateway.open()
    for store in (*kit.sessions, *kit.tickets):
        await store.open()
    yield kit
    for gateway in (here, there):
        await gateway.close()


def session(id: str, clock: Clock, consumer: str = "ann", life: float = 100) -> Session:
    return Session(
        id=id,
        consumer=consumer,
        scopes=frozenset({READ, ADMIN}),
        claims={"email": "ann@example.com"},
        created=clock(),
        expires_at=clock() + life,
    )


def ticket(clock: Clock, consumer: str = "ann") -> Ticket:
    return Ticket(
        consumer=consumer,
        scopes=frozenset({READ}),
        expires_at=9e9,
        credential="key:k1",
        claims={"quota": "daily"},
        until=clock() + 30,
    )


async def test_a_session_is_found_until_it_expires(kit: Kit) -> None:
    here, there = kit.sessions
    made = session("s1", kit.clock)
    await here.begin(made, b"one")
    assert await there.find(b"one") == made
    assert await there.find(b"two") is None
    kit.clock.advance(100)
    assert await there.find(b"one") is None
    assert await there.alive(["s1"]) == set()
    await here.begin(session("s2", kit.clock), b"two")
    assert await there.alive(["s1", "s2"]) == {"s2"}


async def test_a_session_is_ended_for_everybody(kit: Kit) -> None:
    here, there = kit.sessions
    for n in range(3):
        await here.begin(session(f"s{n}", kit.clock), f"hash {n}".encode())
    await here.begin(session("b1", kit.clock, "bob"), b"bob's")
    await there.end("s0")
    await there.end("s0")
    assert await here.find(b"hash 0") is None
    assert await here.alive(["s0", "s1", "s2", "b1"]) == {"s1", "s2", "b1"}
    assert await here.alive(["b1", *map(str, range(2000))]) == {"b1"}


async def test_a_ticket_is_good_once(kit: Kit) -> None:
    here, there = kit.tickets
    made = ticket(kit.clock)
    assert await here.issue(made, b"one", 10)
    assert await there.take(b"two") is None
    assert await there.take(b"one") == made
    assert await there.take(b"one") is None
    assert await here.take(b"one") is None


async def test_a_ticket_ends(kit: Kit) -> None:
    here, there = kit.tickets
    await here.issue(ticket(kit.clock), b"one", 10)
    kit.clock.advance(30)
    assert await there.take(b"one") is None
    await here.issue(replace(ticket(kit.clock), expires_at=None), b"two", 10)
    found = await there.take(b"two")
    assert found is not None
    assert found.expires_at is None


async def test_a_ticket_that_is_only_looked_at_stays_good_until_it_ends(kit: Kit) -> None:
    here, there = kit.tickets
    made = replace(ticket(kit.clock), settings='{"model":"m"}')
    await here.issue(made, b"one", 10)
    assert await there.find(b"one") == await here.find(b"one") == made
    assert await here.find(b"two") is None
    kit.clock.advance(30)
    assert await there.find(b"one") is None
    assert await here.find(b"one") is None


async def test_nobody_hoards_tickets(kit: Kit) -> None:
    here, there = kit.tickets
    for n in range(3):
        assert await here.issue(ticket(kit.clock), f"{n}".encode(), 3)
    assert not await there.issue(ticket(kit.clock), b"more", 3)
    assert await there.issue(ticket(kit.clock, "bob"), b"bob's", 3)
    assert await there.take(b"more") is None
    await there.take(b"0")
    assert await here.issue(ticket(kit.clock), b"again", 3)
    kit.clock.advance(30)
    for n in range(3):
        assert await here.issue(ticket(kit.clock), f"later {n}".encode(), 3)


async def test_of_many_who_take_one_ticket_at_once_one_gets_it(kit: Kit) -> None:
    here, there = kit.tickets
    for n in range(20):
        await here.issue(ticket(kit.clock), f"{n}".encode(), 100)
        taken = await asyncio.gather(
            *((here, there)[i % 2].take(f"{n}".encode()) for i in range(8))
        )
        assert sum(one is not None for one in taken) == 1


TAKER = """
import asyncio, sys
from pathlib import Path
from fairlead.stores.sqlite_gateway import SqliteGateway
from fairlead.stores.sqlite_tickets import SqliteTickets

async def main():
    gateway = SqliteGateway(Path(sys.argv[1]))
    await gateway.open()
    tickets = SqliteTickets(gateway)
    await tickets.open()
    print("ready", flush=True)
    sys.stdin.readline()
    got = [n for n in range(200) if await tickets.take(str(n).encode()) is not None]
    print(*got)
    await gateway.close()

asyncio.run(main())
"""


async def test_of_several_processes_one_gets_each_ticket(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    gateway = SqliteGateway(path)
    await gateway.open()
    tickets = SqliteTickets(gateway)
    await tickets.open()
    made = replace(ticket(Clock()), until=9e9)
    for n in range(200):
        assert await tickets.issue(made, str(n).encode(), 1000)
    pipe = asyncio.subprocess.PIPE
    takers = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", TAKER, str(path), stdin=pipe, stdout=pipe
        )
        for _ in range(4)
    ]
    for taker in takers:
        assert taker.stdout is not None
        assert await taker.stdout.readline() == b"ready\n"
    outs = await asyncio.gather(*(taker.communicate(b"go\n") for taker in takers))
    got = [int(n) for out, _ in outs for n in out.split()]
    assert sorted(got) == list(range(200))
    assert sum(bool(out.split()) for out, _ in outs) > 1, "one process took all: no race was seen"
    await gateway.close()
