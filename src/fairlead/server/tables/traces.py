"""``[traces]``: where spans of answers go."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from fairlead.server.settings import Secret
from fairlead.server.tables.table import Table, says
from fairlead.server.tables.upstream import address, check_url


class Traces(Table, frozen=True, kw_only=True):
    """A collector that speaks OTLP over HTTP. Without an ``endpoint`` there are no traces."""

    WORDS: ClassVar[dict[str, str]] = {
        "authorization": "a secret does not belong in a file; name an environment variable in "
        "authorization_env"
    }

    endpoint: Annotated[
        str, says("the collector's address for traces, such as `http://127.0.0.1:4318/v1/traces`")
    ] = ""
    authorization_env: Annotated[
        str,
        says("the environment variable that holds the value of `Authorization` for it; none: none"),
    ] = ""
    authorization: Secret = Secret()
    service: Annotated[str, says("what this server is called there")] = "fairlead"
    share: Annotated[
        float,
        says("which part of the answers is traced, from 0 to 1; a caller's trace decides itself"),
    ] = 1.0

    def label(self) -> str:
        return address(self.endpoint)

    def summary(self) -> str:
        return f"{address(self.endpoint)} ({self.share:g})" if self.endpoint else ""

    @classmethod
    def check(cls, tables: tuple[Self, ...]) -> str:
        (traces,) = tables
        if traces == cls():
            return ""
        if wrong := check_url(traces.endpoint):
            return f"endpoint: {wrong}"
        if not 0 <= traces.share <= 1:
            return "share must be from 0 to 1"
        if not traces.service or len(traces.service) > 100 or not traces.service.isprintable():
            return "service must be 1 to 100 printable characters"
        return ""
