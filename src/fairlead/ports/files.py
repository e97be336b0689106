"""The port of files that upstreams keep for callers: whose each of them is. Their bytes are with
the upstream."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol, runtime_checkable

import msgspec

from fairlead.ports.provider import Provider

#: The longest id of a file.
MAX_ID = 200


class File(msgspec.Struct, frozen=True, kw_only=True):
    """A file. ``id`` is the upstream's, ``purpose`` what it was uploaded for, ``told`` what the
    upstream said of it then (a JSON object). Times in seconds since 1970, UTC; ``expires_at`` None:
    it does not end by itself."""

    id: str
    consumer: str
    upstream: str
    purpose: str = ""
    created: float = 0.0
    expires_at: float | None = None
    told: msgspec.Raw = msgspec.Raw(b"{}")


class Files(Protocol):
    """The files of a deployment, shared by its processes. Those that have ended are not there.
    Every verb may raise the store errors."""

    async def open(self) -> None:
        """Be ready. Idempotent."""
        ...

    async def add(self, file: File) -> None:
        """Keep a file, in place of one of this id that its consumer had. Raises
        :class:`~fairlead.errors.Conflict` if somebody else has one of this id."""
        ...

    async def find(self, ids: Collection[str]) -> dict[str, File]:
        """Those of these ids that there are."""
        ...

    async def page(
        self,
        consumer: str,
        upstream: str,
        *,
        purpose: str = "",
        after: str = "",
        newest_first: bool = True,
        limit: int = 100,
    ) -> list[File] | None:
        """Some files of a consumer that ``upstream`` keeps, by when they came: those for a
        ``purpose`` (empty: for any) that follow the one of the id ``after`` (empty: from the first
        on); None: there is no such one."""
        ...

    async def count(self, consumer: str) -> int:
        """How many files a consumer has."""
        ...

    async def remove(self, id: str) -> None:
        """Forget a file. Idempotent."""
        ...


@runtime_checkable
class Keeping(Protocol):
    """A provider with several upstreams, which may keep files."""

    def at(self, upstream: str) -> Provider | None:
        """The same, asking this upstream alone; None: it is none of them."""
        ...
