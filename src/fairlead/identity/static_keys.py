"""Identity by API keys that the operator configured."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Sequence
from typing import NamedTuple

from fairlead.errors import Misconfigured, Revoked, Unauthenticated
from fairlead.policy.caller import Caller
from fairlead.primitives import base32

#: What callers' credentials begin with that are keys of the configuration.
KIND = "configured:"


class StaticKey(NamedTuple):
    """A key of ``consumer``: its SHA-256 (32 bytes) and what it allows."""

    consumer: str
    sha256: bytes
    scopes: frozenset[str]


class StaticKeys:
    """Implements :class:`~fairlead.ports.identity.Identity` and
    :class:`~fairlead.ports.identity.Revocable`. A consumer may have several keys, so that they can
    be changed one by one."""

    def __init__(self, keys: Sequence[StaticKey]) -> None:
        for key in keys:
            if len(key.sha256) != hashlib.sha256().digest_size:
                raise Misconfigured(f"keys: {key.consumer}: its SHA-256 must have 32 bytes")
        self._keys = [
            (
                key.sha256,
                Caller(key.consumer, scopes=frozenset(key.scopes), credential=_id(key.sha256)),
            )
            for key in keys
        ]
        self._ids = {caller.credential for _, caller in self._keys}

    async def identify(self, credential: str | None) -> Caller:
        """The caller whose key the credential is."""
        found = self.find(credential or "")
        if found is None:
            raise Unauthenticated(
                "this API key is not known here: check it for a typing error, or ask whoever runs "
                "the server for one"
            )
        return found

    def find(self, credential: str) -> Caller | None:
        """The caller whose key the credential is; None: it is none of these keys."""
        # surrogateescape: a header may hold any bytes, and a wrong key is still just wrong.
        digest = hashlib.sha256(credential.encode("utf-8", "surrogateescape")).digest()
        found: Caller | None = None
        # All are compared, each in constant time: the time taken tells nothing of which is near.
        for known, caller in self._keys:
            if hmac.compare_digest(known, digest):
                found = caller
        return found

    async def ended(self, credentials: Collection[str]) -> dict[str, Unauthenticated]:
        """Which of the credentials are keys that the configuration has no more."""
        return {
            one: Revoked("the API key has been taken out of the server's configuration")
            for one in credentials
            if one.startswith(KIND) and one not in self._ids
        }


def _id(sha256: bytes) -> str:
    # A hash once more: what is shown must not help to check a guess against the configuration.
    return KIND + base32(hashlib.sha256(sha256).digest())[:12]
