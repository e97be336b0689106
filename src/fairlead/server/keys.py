"""Stored API keys: made and changed, by whoever may (the command line, the admin API)."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import AsyncGenerator, Callable

from fairlead.errors import BadRequest, Misconfigured
from fairlead.identity.stored_keys import digest, new_key
from fairlead.policy.caller import ADMIN, ALL_SCOPES
from fairlead.ports.keys import MAX_NAME, MAX_QUOTAS, Keys, StoredKey
from fairlead.server.config import Config
from fairlead.stores.sqlite_gateway import SqliteGateway
from fairlead.stores.sqlite_keys import SqliteKeys

_CONSUMER = re.compile(r"[\w.@:+-]{1,128}")
_SCOPES = ALL_SCOPES | {ADMIN}
#: The longest time that a key overlaps with its successor, in seconds.
MAX_OVERLAP = 366 * 86_400.0


@contextlib.asynccontextmanager
async def stored_keys(config: Config) -> AsyncGenerator[Keys, None]:
    """The keys in the data folder of ``config``; raises as :func:`stored_gateway`."""
    async with stored_gateway(config) as gateway:
        keys = SqliteKeys(gateway)
        await keys.open()
        yield keys


@contextlib.asynccontextmanager
async def stored_gateway(config: Config) -> AsyncGenerator[SqliteGateway, None]:
    """The file of keys in the data folder of ``config``, apart from a running server, which sees at
    once what is done to them: both use one file.

    Raises :class:`~fairlead.errors.Misconfigured` when the folder cannot be used, or nothing would
    be kept there.
    """
    if config.durability == "memory":
        raise Misconfigured(
            "durability: with 'memory' a server keeps its keys in its own memory, where no command "
            "reaches them; choose another durability, or use the server's API",
            setting="durability",
        )
    try:
        config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Misconfigured(
            f"cannot use the data folder {config.data_dir}: {error.strerror}. "
            "Choose another one with --data-dir.",
            setting="data_dir",
        ) from None
    gateway = SqliteGateway(config.data_dir / "gateway.db")
    await gateway.open()
    try:
        yield gateway
    finally:
        await gateway.close()


async def any_stored(config: Config) -> bool:
    """Whether a key was ever made in the data folder."""
    if config.durability == "memory" or not (config.data_dir / "gateway.db").exists():
        return False
    async with stored_keys(config) as keys:
        return await keys.any()


async def issue(
    keys: Keys,
    consumer: str,
    *,
    name: str = "",
    scopes: frozenset[str] = ALL_SCOPES,
    quotas: tuple[str, ...] = (),
    life: float | None = None,
    clock: Callable[[], float] = time.time,
    entropy: Callable[[int], bytes] = os.urandom,
) -> tuple[StoredKey, str]:
    """Make a key of ``consumer``, which ends after ``life`` seconds (None: it does not). What is
    kept of it, and its text, which is nowhere else.

    Raises :class:`~fairlead.errors.BadRequest`, naming what is wrong.
    """
    if not _CONSUMER.fullmatch(consumer):
        raise BadRequest("a consumer is named by 1 to 128 letters, digits and . @ : + - _")
    check(name, scopes, quotas)
    if life is not None and not 0 < life <= 100 * MAX_OVERLAP:
        raise BadRequest("a key must last for some time, and not for more than a hundred years")
    id, text = new_key(entropy)
    now = clock()
    key = StoredKey(
        id=id,
        consumer=consumer,
        name=name,
        scopes=scopes,
        quotas=quotas,
        created=now,
        expires_at=None if life is None else now + life,
    )
    await keys.create(key, digest(text))
    return key, text


async def rotate(
    keys: Keys,
    id: str,
    *,
    overlap: float,
    entropy: Callable[[int], bytes] = os.urandom,
) -> tuple[StoredKey, str]:
    """Put a new key into the place of one, which ends after ``overlap`` seconds. What is kept of
    the new one, and its text.

    Raises :class:`~fairlead.errors.BadRequest`, :class:`~fairlead.errors.NotFound` and
    :class:`~fairlead.errors.Conflict`.
    """
    if not 0 <= overlap <= MAX_OVERLAP:
        raise BadRequest("the overlap must be from 0 seconds to a year")
    successor, text = new_key(entropy)
    return await keys.rotate(id, successor, digest(text), overlap), text


def check(name: str, scopes: frozenset[str], quotas: tuple[str, ...]) -> None:
    """Refuse with :class:`~fairlead.errors.BadRequest` what no key can have."""
    if len(name) > MAX_NAME or not name.isprintable():
        raise BadRequest(f"a key's name has at most {MAX_NAME} printable characters")
    if unknown := sorted(scopes - _SCOPES):
        raise BadRequest(f"no such scope: {unknown[0][:80]}; there are ask, read, admin")
    if not scopes:
        raise BadRequest("a key without scopes would allow nothing; give ask, read or admin")
    if len(quotas) > MAX_QUOTAS:
        raise BadRequest(f"a key draws on at most {MAX_QUOTAS} quotas")
    for quota in quotas:
        if not quota or len(quota) > MAX_NAME or not quota.isprintable() or " " in quota:
            raise BadRequest(
                f"a quota is named by at most {MAX_NAME} printable characters without spaces"
            )
