"""Another configuration while the server runs: validated as a whole, applied as a whole.

Everything new is built first; what cannot be built or may not be leaves all as it was. Then it
takes the place of the old in one turn of the loop. Streams that are open go on: only those end that
the change concerns (a key that is gone, an address that is denied now, a budget that is less).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import msgspec
import structlog

from fairlead.errors import FairleadError
from fairlead.knowledge.merged import documents_of, merged
from fairlead.policy.caller import Caller
from fairlead.ports.audit import entry
from fairlead.server.config import SETTINGS, Config
from fairlead.server.entrance import judge, policy_of
from fairlead.server.limits import limits_of
from fairlead.server.metering import budgets_of
from fairlead.server.system import System

_log = structlog.get_logger("fairlead.server")

#: Seconds between two looks at the configuration file.
_WATCH = 1.0

#: What takes effect at once. Everything else does when the server starts.
LIVE = frozenset(
    {
        "aliases",
        "allow_addresses",
        "apps",
        "attachment_types",
        "budgets",
        "compression",
        "consumers",
        "deadline",
        "deny_addresses",
        "jwt",
        "keys",
        "max_attached_bytes",
        "max_attachment_bytes",
        "max_attachments",
        "max_generations",
        "max_generations_each",
        "max_prompt_chars",
        "max_readers",
        "max_readers_each",
        "max_sockets_each",
        "model",
        "oauth2",
        "oidc",
        "orphan_window",
        "page_background",
        "plugins",
        "prices",
        "queue",
        "queue_each",
        "queue_wait",
        "routes",
        "rules",
        "upstream",
        "upstream_key",
        "upstreams",
    }
)


#: Who wants it where no caller does: whoever can write the file, or send a signal.
_NOBODY = Caller("", frozenset())


class Outcome(msgspec.Struct, frozen=True):
    """What came of it: the settings that were ``changed``, those that wait for a ``restart``, and
    how many open readers ``ended``, because they may not stay."""

    changed: tuple[str, ...]
    restart: tuple[str, ...]
    ended: int = 0


class Reload:
    """Applies configurations to a running system; ``load`` reads the newest one. One at a time."""

    def __init__(self, system: System, load: Callable[[], Config]) -> None:
        self._system = system
        self._load = load
        self._busy = asyncio.Lock()

    async def __call__(self, caller: Caller = _NOBODY, why: str = "") -> Outcome:
        """Read the configuration and apply it; the audit log is told who wanted it, and ``why``.
        Raises :class:`~fairlead.errors.Misconfigured` and changes nothing if it is not right."""
        async with self._busy:
            outcome = await self._apply(self._load())
        if outcome.changed or outcome.restart:
            done = entry(
                caller,
                time.time(),
                "configuration.reloaded",
                changed=" ".join(outcome.changed),
                restart=" ".join(outcome.restart),
                why=why,
            )
            await self._system.audit.add(done)
        return outcome

    async def try_it(self, why: str) -> None:
        """As a call, for when nobody waits for the outcome: the log tells it."""
        try:
            await self(why=why)
        except FairleadError as error:
            _log.error("reload_refused", why=why, error=error.message)

    async def _apply(self, wanted: Config) -> Outcome:
        system = self._system
        current = system.config
        different = [
            setting.name
            for setting in SETTINGS
            if getattr(wanted, setting.name) != getattr(current, setting.name)
        ]
        changed = tuple(name for name in different if name in LIVE)
        restart = tuple(name for name in different if name not in LIVE)
        if not changed:
            if restart:
                _log.warning("reload_needs_restart", settings=restart)
            return Outcome((), restart)
        config = msgspec.structs.replace(
            current, **{name: getattr(wanted, name) for name in changed}, origins=wanted.origins
        )
        stored_keys = await system.doors.any_stored()
        config.check_serving(stored_keys=stored_keys)
        # All that can fail comes before all that changes anything.
        plugins = await system.plugins.following(config.plugins)
        try:
            config.check_serving(stored_keys=stored_keys, by_plugin=bool(plugins.identities))
            policy = policy_of(config, plugins.judges)
            budgets = budgets_of(config, plugins.keys)
            limits = limits_of(config)
            doors = await system.doors.prepared(config, current, plugins.identities)
            applications = system.applications.following(config.apps)
            offer = system.offer.following(config, plugins.models)
        except BaseException:
            await plugins.drop(system.plugins)
            raise

        system.config = config
        system.plugins = plugins
        system.engine.transforms = plugins.transforms
        system.engine.knowledge = merged(documents_of(system.engine.knowledge), plugins.sources)
        system.entrance.change(policy)
        system.doors.change(doors)
        system.callers.cookie = system.doors.cookie
        system.engine.metering.replace(budgets)
        system.engine.change(
            offer.models, limits, {each.consumer: each.share for each in config.consumers}
        )
        system.callers.keep = offer.models.keep | budgets.keep | policy.rules.keep | plugins.keep
        system.places.each = config.max_sockets_each
        retired, system.offer = system.offer, offer
        gone = system.applications.change(applications)
        system.callers.apps = system.applications.paths

        ended = system.engine.vigil.review(judge(policy.rules))
        await retired.hand_over(offer)
        for application in gone:
            await application.close()
        await system.engine.vigil.look()
        _log.info("reloaded", changed=changed, needs_restart=restart, ended=ended)
        return Outcome(changed, restart, ended)


@contextlib.asynccontextmanager
async def watching(reload: Reload, file: Path | None) -> AsyncGenerator[None, None]:
    """Apply the configuration file whenever it has changed."""
    if file is None:
        yield
        return
    task = asyncio.create_task(_watch(reload, file), name="watch configuration")
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _watch(reload: Reload, file: Path) -> None:
    # The first look applies what has changed since the server read the file to start.
    known = None
    while True:
        await asyncio.sleep(_WATCH)
        found = _look(file)
        # A file that is gone for a moment is being replaced.
        if found is not None and found != known:
            known = found
            await reload.try_it(f"{file} has changed")


def _look(file: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(file)  # also through a link, as orchestrators replace it
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
