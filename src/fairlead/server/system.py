"""The running system as the routes see it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from fairlead.engine.engine import Engine
from fairlead.ports.audit import Audit
from fairlead.server.applications import Applications
from fairlead.server.config import Config
from fairlead.server.doors import Doors
from fairlead.server.entrance import Entrance
from fairlead.server.metrics import Metrics
from fairlead.server.models import Offer
from fairlead.server.plugins import Plugins, no_plugins
from fairlead.server.tracing import Tracing
from fairlead.stores.memory_audit import MemoryAudit
from fairlead.transports.callers import Callers
from fairlead.transports.connections import Connections
from fairlead.transports.places import Places


class System(msgspec.Struct):
    """What composition has put together. A reload puts another ``config``, ``offer`` and
    ``plugins`` into it. ``applications`` are those behind it; ``notice`` says in one line who
    answers, when that is worth saying; ``reload`` reads the configuration anew, where it has a
    source."""

    config: Config
    engine: Engine
    callers: Callers
    doors: Doors
    connections: Connections
    offer: Offer
    entrance: Entrance
    places: Places = msgspec.field(default_factory=Places)
    plugins: Plugins = msgspec.field(default_factory=no_plugins)
    applications: Applications = msgspec.field(default_factory=Applications)
    notice: str = ""
    audit: Audit = msgspec.field(default_factory=MemoryAudit)
    metrics: Metrics = msgspec.field(default_factory=Metrics)
    tracing: Tracing | None = None
    reload: Callable[..., Awaitable[Any]] | None = None
