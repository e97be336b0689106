"""The applications behind this server, as the configuration in force has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from fairlead.errors import Misconfigured
from fairlead.providers.app import Application
from fairlead.server.tables.app import App


class Behind:
    """One application: its table and its client."""

    def __init__(self, app: App) -> None:
        headers = dict(app.headers)
        if app.api_key:
            headers["Authorization"] = f"Bearer {app.api_key.reveal()}"
        self.app = app
        self.application = Application(
            app.name,
            app.target,
            headers=headers,
            connect_timeout=app.connect_timeout,
            response_timeout=app.response_timeout,
            silence_timeout=app.silence_timeout,
        )


class Applications:
    """All of them. Others may take their place while the server runs: what is under way goes on
    with the application that it was begun with. ``sockets``: how many are open, by its name."""

    def __init__(self, apps: Sequence[App] = ()) -> None:
        self.sockets: Counter[str] = Counter()
        self._all = tuple(Behind(app) for app in apps)
        self._retired: list[Behind] = []
        self._taken: frozenset[str] = frozenset()

    def keep_off(self, paths: Iterable[str]) -> None:
        """These are paths of the server's own. Raises :class:`~fairlead.errors.Misconfigured` if an
        application is at one of them."""
        self._taken = frozenset(path.strip("/").partition("/")[0] for path in paths) - {""}
        self._check([each.app for each in self._all])

    @property
    def paths(self) -> list[str]:
        """Where they are."""
        return [each.app.path for each in self._all]

    @property
    def metered(self) -> list[str]:
        """The names under which budgets know them."""
        return [each.app.name for each in self._all if each.app.metered]

    def find(self, path: str) -> Behind | None:
        """The one that a path leads to."""
        for each in self._all:
            if path == each.app.path or path.startswith(each.app.path + "/"):
                return each
        return None

    def following(self, apps: Sequence[App]) -> tuple[Behind, ...]:
        """Those of another configuration, for :meth:`change`. One that is as it was stays what it
        is. Raises :class:`~fairlead.errors.Misconfigured`."""
        self._check(apps)
        known = {each.app.name: each for each in self._all}
        same = [known.get(app.name) for app in apps]
        return tuple(
            one if one is not None and one.app == app else Behind(app)
            for app, one in zip(apps, same, strict=True)
        )

    def change(self, all: tuple[Behind, ...]) -> list[Application]:
        """Lead to these from now on. What nobody needs any more is to be closed."""
        # Those that were in use at an earlier change may have done by now.
        before = [*self._retired, *(each for each in self._all if each not in all)]
        self._all = all
        self._retired = [each for each in before if not each.application.idle]
        return [each.application for each in before if each not in self._retired]

    async def close(self) -> None:
        """Drop every connection. Idempotent."""
        for each in (*self._all, *self._retired):
            await each.application.close()

    def _check(self, apps: Sequence[App]) -> None:
        for app in apps:
            if app.path.strip("/").partition("/")[0] in self._taken:
                raise Misconfigured(
                    f"apps: {app.name}: path: {app.path} is one of Fairlead's own; "
                    "take another one",
                    setting="apps",
                )
