"""Identity by API keys that the operator configured."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import NamedTuple

from fairlead.errors import Misconfigured, Unauthenticated
from fairlead.policy.caller import Caller

#: Longer credentials are refused unread.
MAX_CREDENTIAL = 4096


class StaticKey(NamedTuple):
    """A key of ``consumer``: its SHA-256 (32 bytes) and what it allows."""

    consumer: str
    sha256: bytes
    scopes: frozenset[str]


class StaticKeys:
    """Implements :class:`~fairlead.ports.identity.Identity`.

    ``anonymous`` is who asks without a key, and counts only where there are no keys at all; None:
    everybody needs one. A consumer may have several keys, so that they can be changed one by one.
    """

    def __init__(self, keys: Sequence[StaticKey], anonymous: Caller | None = None) -> None:
        for key in keys:
            if len(key.sha256) != hashlib.sha256().digest_size:
                raise Misconfigured(f"keys: {key.consumer}: its SHA-256 must have 32 bytes")
        self._keys = [
            (key.sha256, Caller(key.consumer, scopes=frozenset(key.scopes))) for key in keys
        ]
        self._anonymous = None if keys else anonymous

    async def identify(self, credential: str | None) -> Caller:
        """The caller whose key the credential is.

        Where no keys are configured, a credential is passed over: clients of vendors' APIs always
        send one.
        """
        if self._anonymous is not None:
            return self._anonymous
        if not credential:
            raise Unauthenticated(
                "an API key is needed: send it in the header Authorization: Bearer <key>"
            )
        if len(credential) > MAX_CREDENTIAL:
            raise Unauthenticated("the API key is longer than any that this server knows")
        # surrogateescape: a header may hold any bytes, and a wrong key is still just wrong.
        digest = hashlib.sha256(credential.encode("utf-8", "surrogateescape")).digest()
        found: Caller | None = None
        # All are compared, each in constant time: the time taken tells nothing of which is near.
        for known, caller in self._keys:
            if hmac.compare_digest(known, digest):
                found = caller
        if found is None:
            raise Unauthenticated(
                "this API key is not known here: check it for a typing error, or ask whoever runs "
                "the server for one"
            )
        return found
