"""The port of what is passed to an upstream as it is, answers apart: embeddings, for instance."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import msgspec


class Passed(msgspec.Struct, frozen=True):
    """What the upstream answered: a JSON object, and how many tokens it says that it read (None: it
    does not say)."""

    body: bytes
    input_tokens: int | None = None


@runtime_checkable
class Passing(Protocol):
    """A provider that can pass requests on."""

    async def pass_on(self, path: str, fields: dict[str, msgspec.Raw], model: str) -> Passed:
        """Send a JSON object to ``path`` under the upstream's address, for ``model`` there.

        Raises the upstream errors of :mod:`fairlead.errors`.
        """
        ...
