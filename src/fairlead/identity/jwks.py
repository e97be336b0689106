"""An issuer's public keys (RFC 7517), fetched, kept, and fetched again when it changes them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry
from joserfc.jwk import Key as Jwk

from fairlead.errors import IdentityUnavailable

_log = structlog.get_logger("fairlead.identity")

#: Keys of a set that are looked at.
_MOST = 100
#: Keys that one signature is tried with, where a token does not say which made it.
_MOST_TRIED = 10
#: Seconds for which keys are used while nobody says that they are still good.
STALE = 86_400.0

#: What public keys of asymmetric algorithms are. A symmetric one (``oct``) verifies nothing: who
#: knows it can sign.
_KINDS = ("RSA", "EC", "OKP")


class Jwks:
    """The keys that ``load`` gives (a JSON Web Key Set, decoded).

    They are loaded when first needed and when they are older than ``max_age`` seconds, and when a
    token names one that is unknown; but no more often than every ``pause`` seconds, however many
    tokens name unknown ones. While loading fails the old keys serve on.
    """

    def __init__(
        self,
        load: Callable[[], Awaitable[Any]],
        *,
        max_age: float = 300.0,
        pause: float = 10.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._max_age = max_age
        self._pause = pause
        self._now = monotonic
        self._keys: list[Jwk] = []
        self._loaded: float | None = None
        self._tried: float | None = None
        self._lock = asyncio.Lock()

    async def find(self, kid: str | None) -> list[Jwk]:
        """The keys that may have signed a token which names ``kid`` (None: which names none).

        Raises :class:`~fairlead.errors.IdentityUnavailable` while none could be loaded.
        """
        if self._loaded is None or self._now() - self._loaded >= self._max_age:
            await self._refresh()
        found = self._named(kid)
        if not found:
            await self._refresh()
            found = self._named(kid)
        return found

    def _named(self, kid: str | None) -> list[Jwk]:
        if kid is None:
            return self._keys[:_MOST_TRIED]
        return [key for key in self._keys if key.kid in (kid, None)][:_MOST_TRIED]

    async def _refresh(self) -> None:
        """Load, unless that was tried a moment ago."""
        async with self._lock:
            now = self._now()
            if self._tried is None or now - self._tried >= self._pause:
                self._tried = now
                try:
                    self._keys = public_keys(await self._load())
                    self._loaded = now
                except IdentityUnavailable as error:
                    _log.warning("keys_not_loaded", error=error.message)
            if self._loaded is None or now - self._loaded >= self._max_age + STALE:
                raise IdentityUnavailable(
                    "the issuer's keys cannot be had now, so that no token can be checked",
                    retry_after=self._pause,
                )


def public_keys(found: Any) -> list[Jwk]:
    """The keys of a set that can verify signatures; what is not understood is passed over (RFC
    7517, section 5). Raises :class:`~fairlead.errors.IdentityUnavailable` for what is no set."""
    listed = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(listed, list):
        raise IdentityUnavailable("the issuer's key set is not one (it needs a list 'keys')")
    keys: list[Jwk] = []
    for one in listed[:_MOST]:
        if not isinstance(one, dict) or one.get("kty") not in _KINDS:
            continue
        if one.get("use", "sig") != "sig" or "d" in one:
            continue
        try:
            keys.append(JWKRegistry.import_key(one))
        except (JoseError, ValueError, TypeError, KeyError) as error:
            _log.warning("key_not_understood", error=type(error).__name__)
    return keys
