"""Identity by API keys that are stored: made and revoked while the server runs.

A key's text is ``flk_<id>_<secret>``, of which the id is public. Only the SHA-256 of the whole is
kept, which is enough: the secret has 160 random bits, so that no guessing finds it.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Collection

import structlog
from msgspec.structs import replace

from fairlead.errors import FairleadError, Revoked, Unauthenticated
from fairlead.policy.caller import Caller
from fairlead.ports.keys import Keys, StoredKey
from fairlead.primitives import base32

_log = structlog.get_logger("fairlead.identity")

PREFIX = "flk_"
#: What callers' credentials begin with that are keys of this store.
KIND = "key:"
#: Seconds within which a key that another process has revoked is refused here.
FRESH = 1.0
#: Keys remembered at once.
_REMEMBERED = 10_000
#: ``last_used`` is written no more often than this, in seconds.
_COARSE = 60.0

_TEXT = re.compile(r"flk_([0-9a-z]{10})_[0-9a-z]{32}")


def new_key(entropy: Callable[[int], bytes]) -> tuple[str, str]:
    """The id and the text of a new key."""
    id = base32(entropy(6))
    return id, f"{PREFIX}{id}_{base32(entropy(20))}"


def digest(text: str) -> bytes:
    """The SHA-256 by which a credential is kept."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


class StoredKeys:
    """Implements :class:`~fairlead.ports.identity.Identity` for credentials of the form above, and
    :class:`~fairlead.ports.identity.Revocable`."""

    def __init__(self, keys: Keys, clock: Callable[[], float] = time.time) -> None:
        self._keys = keys
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[float, StoredKey]] = OrderedDict()
        self._any: tuple[float, bool] | None = None

    async def identify(self, credential: str | None) -> Caller:
        """The caller whose key the credential is."""
        text = credential or ""
        sha256 = digest(text)
        key = await self._find(sha256) if _TEXT.fullmatch(text) else None
        if key is None:
            raise Unauthenticated(
                "this API key is not known here: check it for a typing error, or ask whoever runs "
                "the server for one"
            )
        now = self._clock()
        if key.revoked_at is not None:
            raise Revoked(f"the API key {key.id} has been revoked; ask for a new one")
        if not key.alive(now):
            raise Unauthenticated(f"the API key {key.id} has expired; ask for a new one")
        if key.last_used is None or now - key.last_used > _COARSE:
            await self._used(sha256, key, now)
        return Caller(
            key.consumer,
            scopes=key.scopes,
            expires_at=key.expires_at,
            credential=KIND + key.id,
            claims={"quota": " ".join(key.quotas)} if key.quotas else {},
        )

    async def ended(self, credentials: Collection[str]) -> dict[str, Unauthenticated]:
        """Which of the credentials are keys that have ended, and what to say of each."""
        ids = {one.removeprefix(KIND) for one in credentials if one.startswith(KIND)}
        if not ids:
            return {}
        return {
            KIND + id: Revoked(f"the API key {id} has been revoked or has expired")
            for id in ids - await self._keys.alive(ids)
        }

    async def any(self, credential: str = "") -> bool:
        """Whether a key was ever made: from then on, nobody is anonymous. Who shows what looks
        like a key may have been given the first one a moment ago: then the store is asked."""
        old = self._any is None or self._clock() - self._any[0] >= FRESH
        if self._any is None or not (self._any[1] or not (old or credential.startswith(PREFIX))):
            self._any = self._clock(), await self._keys.any()
        return self._any[1]

    async def _find(self, sha256: bytes) -> StoredKey | None:
        now = self._clock()
        known = self._known.get(sha256)
        if known is not None and 0 <= now - known[0] < FRESH:
            return known[1]
        key = await self._keys.find(sha256)
        if key is None:
            self._known.pop(sha256, None)
            return None
        self._remember(sha256, now, key)
        return key

    def _remember(self, sha256: bytes, now: float, key: StoredKey) -> None:
        self._known[sha256] = now, key
        self._known.move_to_end(sha256)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    async def _used(self, sha256: bytes, key: StoredKey, now: float) -> None:
        known = self._known.get(sha256)
        if known is not None:
            # Before the writing, so that those who ask meanwhile do not write as well.
            self._known[sha256] = known[0], replace(known[1], last_used=now)
        try:
            await self._keys.used(key.id, now)
        except FairleadError as error:
            # A full disk is no reason to refuse a good key.
            _log.warning("key_use_not_noted", key=key.id, error=error.message)
