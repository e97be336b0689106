"""Budgets, counters and ledger, as the configuration has them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path

from fairlead.engine.accounts import Accounts
from fairlead.engine.metering import Metering
from fairlead.errors import Misconfigured
from fairlead.policy.budgets import Budgets, KeyPart
from fairlead.policy.prices import Prices
from fairlead.policy.tokens import estimate
from fairlead.ports.counters import Counters
from fairlead.ports.usage import UsageLedger
from fairlead.providers.tiktoken import counter
from fairlead.server.config import Config
from fairlead.stores.memory_counters import MemoryCounters
from fairlead.stores.memory_usage import MemoryUsage
from fairlead.stores.sqlite_counters import SqliteCounters
from fairlead.stores.sqlite_gateway import SqliteGateway
from fairlead.stores.sqlite_usage import SqliteUsage


def budgets_of(config: Config, plugins: Mapping[str, KeyPart] | None = None) -> Budgets:
    """The budgets of a configuration; ``plugins``: what they may be keyed by, by name. Raises
    :class:`~fairlead.errors.Misconfigured`."""
    for table in config.budgets:
        for item in table.keyed_by:
            kind, _, name = item.partition(":")
            if kind == "plugin" and name not in (plugins or {}):
                raise Misconfigured(
                    f"budgets: {table.name}: keyed_by: there is no plugin {name[:80]!r} that gives "
                    "a key; name one that extends BudgetKey in 'plugins'",
                    setting="budgets",
                )
    return Budgets(
        (table.budget for table in config.budgets),
        Prices(table.price for table in config.prices),
        plugins,
    )


async def open_metering(
    config: Config,
    stack: contextlib.AsyncExitStack,
    gateway: SqliteGateway | None,
    plugins: Mapping[str, KeyPart],
) -> Metering:
    """What meters answers; ``gateway`` is the open file for it, None: all is in memory. It is
    closed with ``stack``. ``plugins`` as for :func:`budgets_of`."""
    counters: Counters = MemoryCounters() if gateway is None else SqliteCounters(gateway)
    ledger: UsageLedger = MemoryUsage() if gateway is None else SqliteUsage(gateway)
    for store in (counters, ledger):
        await store.open()
        stack.push_async_callback(store.close)
    return Metering(
        Accounts(
            budgets=budgets_of(config, plugins),
            counters=counters,
            ledger=ledger,
            count=_counting(config),
        )
    )


def _counting(config: Config) -> Callable[[str], int]:
    """How many tokens a text is."""
    if not config.tokenizer:
        return estimate
    return counter(Path(config.tokenizer).expanduser())
