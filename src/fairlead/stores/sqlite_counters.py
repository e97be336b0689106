"""Counters in the gateway's SQLite file, shared by the processes of a machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

import apsw

from fairlead.policy.holds import NOTHING, Hold, fits, grant, lapse, meter, settle
from fairlead.ports.counters import Claim, Counter, Final, Reserved, Taken, Used
from fairlead.stores.sqlite.connection import rows
from fairlead.stores.sqlite_gateway import Part, SqliteGateway

# holds.until: seconds since 1970.
_PART = Part(
    "counters",
    """
CREATE TABLE counters (
    key TEXT NOT NULL,
    window INTEGER NOT NULL,
    ends INTEGER NOT NULL,
    taken INTEGER NOT NULL,
    PRIMARY KEY (key, window)
) WITHOUT ROWID;
CREATE INDEX counters_by_end ON counters (ends);
CREATE TABLE holds (
    key TEXT NOT NULL,
    window INTEGER NOT NULL,
    holder TEXT NOT NULL,
    granted INTEGER NOT NULL,
    metered INTEGER NOT NULL,
    until REAL NOT NULL,
    PRIMARY KEY (key, window, holder)
) WITHOUT ROWID;
""",
)


class SqliteCounters:
    """A :class:`~fairlead.ports.counters.Counters` over ``gateway``, which must be open. ``clock``:
    seconds since 1970, the same for all processes."""

    def __init__(self, gateway: SqliteGateway, clock: Callable[[], float] = time.time) -> None:
        self._gateway = gateway
        self._clock = clock

    async def open(self) -> None:
        await self._gateway.add(_PART)

    async def close(self) -> None:
        pass

    async def reserve(self, holder: str, claims: Sequence[Claim], ttl: float) -> Reserved:
        # The clock is asked in the transaction: the call may have waited for others.
        return await self._gateway.run(
            partial(_reserve, clock=self._clock, holder=holder, claims=claims, ttl=ttl)
        )

    async def meter(self, used: Sequence[Used], ttl: float) -> None:
        if used:
            await self._gateway.run(partial(_meter, clock=self._clock, used=used, ttl=ttl))

    async def settle(self, holder: str, finals: Sequence[Final]) -> tuple[int, ...]:
        return await self._gateway.run(partial(_settle, holder=holder, finals=finals))

    async def taken(self, counters: Sequence[Counter]) -> tuple[int, ...]:
        return await self._gateway.run(partial(_read, clock=self._clock, counters=counters))

    async def largest(self, name: str, window: int, limit: int) -> list[Taken]:
        # '!' is the character after the blank.
        found = await self._gateway.read(
            lambda db: rows(
                db,
                "SELECT key, taken FROM counters "
                "WHERE (key = ?1 OR (key > ?1 || ' ' AND key < ?1 || '!')) AND window = ?2 "
                "ORDER BY taken DESC, key LIMIT ?3",
                (name, window, limit),
            )
        )
        return [Taken(key.removeprefix(name).lstrip(" "), taken) for key, taken in found]

    async def sweep(self) -> None:
        await self._gateway.run(partial(_sweep, clock=self._clock))


def _reserve(
    db: apsw.Connection,
    clock: Callable[[], float],
    holder: str,
    claims: Sequence[Claim],
    ttl: float,
) -> Reserved:
    now = clock()
    fit = True
    found: list[int] = []
    for claim in claims:
        taken = _taken(db, claim.counter)
        if not fits(taken, claim.limit, claim.amount):
            taken = _lapse(db, claim.counter, taken, now)
            fit = fit and fits(taken, claim.limit, claim.amount)
        found.append(taken)
    if not fit:
        return Reserved(False, tuple(found))
    after = []
    for claim, taken in zip(claims, found, strict=True):
        hold = _hold(db, claim.counter, holder) or NOTHING
        taken, hold = grant(taken, hold, claim.amount, claim.metered, now + ttl)
        _write(db, claim.counter, taken)
        _keep(db, claim.counter, holder, hold)
        after.append(taken)
    return Reserved(True, tuple(after))


def _meter(
    db: apsw.Connection, clock: Callable[[], float], used: Sequence[Used], ttl: float
) -> None:
    until = clock() + ttl
    for each in used:
        hold = _hold(db, each.counter, each.holder)
        if hold is not None:
            _keep(db, each.counter, each.holder, meter(hold, each.metered, until))


def _settle(db: apsw.Connection, holder: str, finals: Sequence[Final]) -> tuple[int, ...]:
    after = []
    for final in finals:
        counter = final.counter
        taken = _taken(db, counter)
        hold = _hold(db, counter, holder)
        if hold is not None:
            taken = settle(taken, hold, final.amount)
            _write(db, counter, taken)
            db.execute(
                "DELETE FROM holds WHERE key = ? AND window = ? AND holder = ?",
                (counter.key, counter.window, holder),
            )
        after.append(taken)
    return tuple(after)


def _read(
    db: apsw.Connection, clock: Callable[[], float], counters: Sequence[Counter]
) -> tuple[int, ...]:
    now = clock()
    return tuple([_lapse(db, counter, _taken(db, counter), now) for counter in counters])


def _sweep(db: apsw.Connection, clock: Callable[[], float]) -> None:
    now = clock()
    db.execute(
        "DELETE FROM holds WHERE (key, window) IN "
        "(SELECT key, window FROM counters WHERE ends <= ?)",
        (now,),
    )
    db.execute("DELETE FROM counters WHERE ends <= ?", (now,))


def _lapse(db: apsw.Connection, counter: Counter, taken: int, now: float) -> int:
    """What is taken without what lapsed holds had not used."""
    lapsed = rows(
        db,
        "SELECT holder, granted, metered, until FROM holds "
        "WHERE key = ? AND window = ? AND until <= ? AND granted > metered",
        (counter.key, counter.window, now),
    )
    for holder, *hold in lapsed:
        taken, left = lapse(taken, Hold(*hold))
        _keep(db, counter, holder, left)
    if lapsed:
        _write(db, counter, taken)
    return taken


def _taken(db: apsw.Connection, counter: Counter) -> int:
    for (taken,) in rows(
        db,
        "SELECT taken FROM counters WHERE key = ? AND window = ?",
        (counter.key, counter.window),
    ):
        return int(taken)
    return 0


def _write(db: apsw.Connection, counter: Counter, taken: int) -> None:
    db.execute(
        "INSERT INTO counters (key, window, ends, taken) VALUES (?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET taken = excluded.taken",
        (counter.key, counter.window, counter.ends, taken),
    )


def _hold(db: apsw.Connection, counter: Counter, holder: str) -> Hold | None:
    for row in rows(
        db,
        "SELECT granted, metered, until FROM holds WHERE key = ? AND window = ? AND holder = ?",
        (counter.key, counter.window, holder),
    ):
        return Hold(*row)
    return None


def _keep(db: apsw.Connection, counter: Counter, holder: str, hold: Hold) -> None:
    db.execute(
        "INSERT INTO holds (key, window, holder, granted, metered, until) "
        "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET granted = excluded.granted, "
        "metered = excluded.metered, until = excluded.until",
        (counter.key, counter.window, holder, hold.granted, hold.metered, hold.until),
    )
