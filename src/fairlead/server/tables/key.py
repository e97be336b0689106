"""``[[keys]]``: API keys that the operator configured."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Annotated, ClassVar, Self

import msgspec

from fairlead.policy.caller import ADMIN, ALL_SCOPES
from fairlead.server.tables.table import Table, says

#: Scopes that an API key may have.
SCOPES = ALL_SCOPES | {ADMIN}

CONSUMER = re.compile(r"[\w.@:+-]{1,128}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Key(Table, frozen=True, kw_only=True):
    """An API key of a consumer, of which only the SHA-256 (in hex) is known here. ``key_env`` names
    the environment variable that holds the key itself; ``sha256`` is empty if there was none."""

    WORDS: ClassVar[dict[str, str]] = {
        "key": "a key itself does not belong in a file; name an environment variable in key_env, "
        "or give its sha256"
    }

    consumer: Annotated[str, says("who asks with this key")]
    sha256: Annotated[str, says("the key's SHA-256, in hexadecimal")] = ""
    key_env: Annotated[str, says("the environment variable that holds the key")] = ""
    scopes: Annotated[
        frozenset[str], says("of `ask`, `read` and `admin`; none given: `ask` and `read`")
    ] = ALL_SCOPES

    @property
    def digest(self) -> bytes:
        """The SHA-256 as bytes."""
        return bytes.fromhex(self.sha256)

    def resolved(self, variable: Callable[[str], str]) -> Self:
        if not self.key_env:
            return self
        if self.sha256:
            raise ValueError(f"{self.consumer}: give key_env or sha256, not both")
        key = variable(self.key_env)
        return msgspec.structs.replace(self, sha256=sha256(key)) if key else self

    def lacks(self) -> str:
        if self.sha256:
            return ""
        return f"the environment variable {self.key_env}, which its key_env names, is not set"

    def label(self) -> str:
        return self.consumer

    def summary(self) -> str:
        missing = "" if self.sha256 else f"; {self.key_env} is not set"
        return f"{self.consumer} ({'+'.join(sorted(self.scopes))}{missing})"

    @classmethod
    def check(cls, tables: tuple[Self, ...]) -> str:
        known: dict[str, str] = {}
        for key in tables:
            if not CONSUMER.fullmatch(key.consumer):
                return "a consumer is named by 1 to 128 letters, digits and . @ : + - _"
            if key.sha256 and not _SHA256.fullmatch(key.sha256):
                return f"{key.consumer}: sha256 must be 64 hexadecimal digits (0-9, a-f)"
            if not (key.sha256 or key.key_env):
                return f"{key.consumer}: give either key_env or sha256"
            if unknown := sorted(key.scopes - SCOPES):
                return (
                    f"{key.consumer}: no such scope: {unknown[0][:80]}; there are ask, read, admin"
                )
            if not key.scopes:
                return f"{key.consumer}: scopes is empty: such a key would allow nothing"
            if key.sha256 and known.setdefault(key.sha256, key.consumer) != key.consumer:
                return f"{known[key.sha256]} and {key.consumer} have the same key"
        return ""


def sha256(key: str) -> str:
    """What is kept of an API key."""
    return hashlib.sha256(key.encode()).hexdigest()
