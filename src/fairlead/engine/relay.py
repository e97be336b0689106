"""Another application's event stream as a stream of ours."""

from __future__ import annotations

import hashlib

import msgspec

from fairlead.events.codec import RELAYED_TYPE
from fairlead.events.meta import GenerationMeta, encode_meta
from fairlead.ports.provider import Provider
from fairlead.ports.store import StreamSpec


class Relay(msgspec.Struct, frozen=True, kw_only=True):
    """A response of another application that is under way. ``source`` gives its events, and is
    called as the application is. ``request``: what was asked, by which a repetition is known.
    ``orphan_window``: seconds that it goes on unwatched."""

    source: Provider
    request: bytes = b""
    orphan_window: float = 60.0

    @property
    def meta(self) -> GenerationMeta:
        """What is known of the stream beside its events."""
        return GenerationMeta(
            provider=self.source.name, orphan_window=self.orphan_window, relayed=True
        )

    def spec(self, stream: str, owner: str) -> StreamSpec:
        """What the stream is created with."""
        return StreamSpec(
            id=stream,
            owner=owner,
            content_type=RELAYED_TYPE,
            fingerprint=fingerprint(self.request),
            meta=encode_meta(self.meta),
        )


def fingerprint(request: bytes) -> bytes:
    """What two requests with the same idempotency key must agree in."""
    return hashlib.sha256(b"relayed\n" + request).digest()
