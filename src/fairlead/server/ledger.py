"""What commands read of a server's data folder, beside it: both use one file."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

from fairlead.errors import Misconfigured
from fairlead.ports.usage import UsageLedger
from fairlead.server.config import Config
from fairlead.stores.sqlite_gateway import SqliteGateway
from fairlead.stores.sqlite_usage import SqliteUsage


@contextlib.asynccontextmanager
async def stored_usage(config: Config) -> AsyncGenerator[UsageLedger, None]:
    """The ledger in the data folder of ``config``.

    Raises :class:`~fairlead.errors.Misconfigured` where there is none.
    """
    path = config.data_dir / "gateway.db"
    if config.durability == "memory":
        raise Misconfigured(
            "durability: with 'memory' a server keeps its usage in its own memory; ask it with "
            "--server",
            setting="durability",
        )
    if not path.exists():
        raise Misconfigured(
            f"no server has used the data folder {config.data_dir} yet; choose another one with "
            "--data-dir, or ask a server with --server",
            setting="data_dir",
        )
    gateway = SqliteGateway(path)
    await gateway.open()
    try:
        ledger = SqliteUsage(gateway)
        await ledger.open()
        yield ledger
    finally:
        await gateway.close()
