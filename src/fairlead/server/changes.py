"""Changes by whoever administers: each is made, and entered into the audit log."""

from __future__ import annotations

import contextlib
import getpass
import os
import time
from collections.abc import AsyncGenerator, Callable

from fairlead.policy.caller import ALL_SCOPES, Caller
from fairlead.ports.audit import Audit, entry
from fairlead.ports.keys import Keys, StoredKey
from fairlead.server import keys as stored
from fairlead.server.config import Config
from fairlead.stores.sqlite_audit import SqliteAudit
from fairlead.stores.sqlite_keys import SqliteKeys

#: The credential of whoever can write the data folder.
COMMAND_LINE = "command line"


@contextlib.asynccontextmanager
async def stored_changes(config: Config) -> AsyncGenerator[KeyChanges, None]:
    """Changes to the keys in a data folder, by whoever runs this command; raises as
    :func:`fairlead.server.keys.stored_gateway`."""
    async with stored.stored_gateway(config) as gateway:
        keys, audit = SqliteKeys(gateway), SqliteAudit(gateway)
        await keys.open()
        await audit.open()
        yield KeyChanges(keys, audit, Caller(_user(), credential=COMMAND_LINE))


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user of containers, who has no name
        return str(os.getuid()) if hasattr(os, "getuid") else ""


class KeyChanges:
    """Changes to API keys, by ``caller``."""

    def __init__(
        self,
        keys: Keys,
        audit: Audit,
        caller: Caller,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys = keys
        self._audit = audit
        self._caller = caller
        self._clock = clock

    async def create(
        self,
        consumer: str,
        *,
        name: str = "",
        scopes: frozenset[str] = ALL_SCOPES,
        quotas: tuple[str, ...] = (),
        life: float | None = None,
    ) -> tuple[StoredKey, str]:
        """As :func:`fairlead.server.keys.issue`."""
        key, text = await stored.issue(
            self._keys, consumer, name=name, scopes=scopes, quotas=quotas, life=life
        )
        await self._enter(
            "key.created", key.id, consumer=key.consumer, scopes=" ".join(sorted(key.scopes))
        )
        return key, text

    async def rotate(self, id: str, overlap: float) -> tuple[StoredKey, str]:
        """As :func:`fairlead.server.keys.rotate`."""
        key, text = await stored.rotate(self._keys, id, overlap=overlap)
        await self._enter("key.rotated", id, consumer=key.consumer, successor=key.id)
        return key, text

    async def revoke(self, id: str) -> StoredKey:
        """End the key now, for good. Idempotent. Raises :class:`~fairlead.errors.NotFound`."""
        key = await self._keys.revoke(id)
        await self._enter("key.revoked", id, consumer=key.consumer)
        return key

    async def _enter(self, action: str, target: str, **details: str) -> None:
        await self._audit.add(entry(self._caller, self._clock(), action, target, **details))
