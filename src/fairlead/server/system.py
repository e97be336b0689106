"""The running system as the routes see it."""

from __future__ import annotations

import msgspec

from fairlead.engine.engine import Engine
from fairlead.ports.health import Health
from fairlead.providers.app import Application
from fairlead.server.config import Config
from fairlead.server.doors import Doors
from fairlead.server.entrance import Entrance
from fairlead.transports.callers import Callers
from fairlead.transports.connections import Connections


class System(msgspec.Struct, frozen=True):
    """What composition has put together. ``upstreams`` knows how they stand; ``applications`` are
    those behind it, by name; ``notice`` says in one line who answers, when that is worth saying."""

    config: Config
    engine: Engine
    callers: Callers
    doors: Doors
    connections: Connections
    upstreams: Health
    entrance: Entrance
    applications: dict[str, Application] = {}
    notice: str = ""
