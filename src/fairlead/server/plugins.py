"""The plugins of a configuration: found, loaded, and put where they are asked."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
import inspect
import itertools
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import structlog

from fairlead import plugins as api
from fairlead.engine.models import Model
from fairlead.errors import Misconfigured, PluginFailed
from fairlead.identity.chain import Recognise
from fairlead.policy.budgets import KeyPart
from fairlead.policy.facts import Keep
from fairlead.ports.knowledge import Knowledge
from fairlead.ports.passages import Passages
from fairlead.ports.transform import Transforms
from fairlead.server.entrance import Judge
from fairlead.server.guard import Guard
from fairlead.server.plugged import PluginKnowledge, judge, key_part, model, recognise
from fairlead.server.tables.plugin import PluginTable
from fairlead.server.transforms import PluginTransforms
from fairlead.stores.memory_passages import MemoryPassages

_log = structlog.get_logger("fairlead.server")

GROUP = "fairlead.plugins"
#: Seconds that loading a plugin may take, and as many its ``open``.
_LOAD = 30.0

_KINDS = (
    api.Identity,
    api.Rule,
    api.BudgetKey,
    api.PromptTransform,
    api.StreamTransform,
    api.Knowledge,
    api.Provider,
)

T = TypeVar("T")


class Loaded:
    """A plugin, its guard, and the table that asked for it."""

    def __init__(self, table: PluginTable, plugin: api.Plugin) -> None:
        self.table = table
        self.plugin = plugin
        self.guard = Guard(table.label(), table.timeout or plugin.timeout)
        self.closed = False


class Plugins:
    """The plugins of one configuration, in their order, open."""

    def __init__(self, loaded: Sequence[Loaded], passages: Passages) -> None:
        self._loaded = tuple(loaded)
        self._passages = passages
        #: Those whose place others have taken: answers under way may still use them.
        self._retired: tuple[Loaded, ...] = ()

    @classmethod
    async def load(
        cls, tables: Sequence[PluginTable], passages: Passages, before: Plugins | None = None
    ) -> Plugins:
        """Load and open them. One that is as it was ``before`` stays what it is. What sources of
        knowledge find is kept in ``passages``.

        Raises :class:`~fairlead.errors.Misconfigured` with the name of the first one that cannot
        be, and then nothing is left open.
        """
        known = before._loaded if before is not None else ()
        files: dict[Path, ModuleType] = {}
        loaded: list[Loaded] = []
        fresh: list[Loaded] = []
        try:
            for table in tables:
                one = next((each for each in known if each.table == table), None)
                if one is None:
                    one = Loaded(table, await _within(_LOAD, table, lambda: _make(table, files)))  # noqa: B023
                    fresh.append(one)
                    await _open(one)
                loaded.append(one)
        except BaseException:
            await _close(fresh)
            raise
        made = cls(loaded, passages)
        if before is not None:
            gone = tuple(one for one in before._loaded if one not in loaded)
            made._retired = (*before._retired, *gone)
        return made

    async def following(self, tables: Sequence[PluginTable]) -> Plugins:
        """The plugins of another configuration, to take these ones' place. Raises as
        :meth:`load`."""
        return await self.load(tables, self._passages, self)

    async def close(self) -> None:
        """Close them, those that were replaced among them. Idempotent."""
        await _close((*self._loaded, *self._retired))

    async def drop(self, before: Plugins) -> None:
        """Close what ``before`` has not: nothing came of the change."""
        await _close([one for one in self._loaded if one not in before._loaded])

    def of(self, kind: Callable[..., T]) -> list[tuple[T, Guard]]:
        """Those of a kind, which is a class (an abstract one, which mypy takes for no ``type``)."""
        assert isinstance(kind, type)
        found: list[Any] = [each for each in self._loaded if isinstance(each.plugin, kind)]
        return [(each.plugin, each.guard) for each in found]

    @property
    def identities(self) -> dict[str, Recognise]:
        """Who is asked whose credential it is, by name."""
        return {guard.name: recognise(plugin, guard) for plugin, guard in self.of(api.Identity)}

    @property
    def judges(self) -> tuple[Judge, ...]:
        """The rules."""
        return tuple(judge(plugin, guard) for plugin, guard in self.of(api.Rule))

    @property
    def keys(self) -> Mapping[str, KeyPart]:
        """What budgets may be keyed by, by name."""
        return {guard.name: key_part(plugin, guard) for plugin, guard in self.of(api.BudgetKey)}

    @property
    def keep(self) -> Keep:
        """What of a request they ask about."""
        kept = Keep()
        for rule, _ in self.of(api.Rule):
            kept |= rule.keep
        for key, _ in self.of(api.BudgetKey):
            kept |= key.keep
        return kept

    @property
    def transforms(self) -> Transforms | None:
        """What prompts and answers pass through; None: nothing."""
        prompts, streams = self.of(api.PromptTransform), self.of(api.StreamTransform)
        return PluginTransforms(prompts, streams) if prompts or streams else None

    @property
    def sources(self) -> dict[str, Knowledge]:
        """The sources of knowledge, by name."""
        return {
            guard.name: PluginKnowledge(plugin, guard, self._passages)
            for plugin, guard in self.of(api.Knowledge)
        }

    @property
    def models(self) -> list[Model]:
        """The models that they answer as."""
        return [model(plugin, guard) for plugin, guard in self.of(api.Provider)]


def no_plugins() -> Plugins:
    """Where there are none."""
    return Plugins((), MemoryPassages())


async def _open(one: Loaded) -> None:
    try:
        await Guard(one.guard.name, _LOAD).call(one.plugin.open)
    except PluginFailed as error:
        raise _refused(one.table, f"it cannot be opened: {error.message}") from None
    _log.info("plugin_loaded", plugin=one.guard.name, use=one.table.use)


async def _close(plugins: Sequence[Loaded]) -> None:
    for one in reversed(plugins):
        if one.closed:
            continue
        one.closed = True
        # It was logged; the others are to be closed all the same.
        with contextlib.suppress(PluginFailed):
            await one.guard.call(one.plugin.close)


async def _within(seconds: float, table: PluginTable, make: Callable[[], T]) -> T:
    """What ``make`` gives, on a thread of its own: a module may do anything when it is imported,
    and must not hold up what runs already."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[tuple[T | None, str]] = loop.create_future()

    def settle(settled: tuple[T | None, str]) -> None:
        if not outcome.done():
            outcome.set_result(settled)

    def run() -> None:
        try:
            settled: tuple[T | None, str] = make(), ""
        except _Unfit as error:
            settled = None, str(error)
        except BaseException as error:  # noqa: BLE001
            _log.error("plugin_not_loaded", plugin=table.label(), exc_info=error)
            settled = None, _told(error)
        with contextlib.suppress(RuntimeError):  # nobody waits any more
            loop.call_soon_threadsafe(settle, settled)

    threading.Thread(target=run, name=f"load {table.label()}", daemon=True).start()
    try:
        async with asyncio.timeout(seconds):
            value, wrong = await outcome
    except TimeoutError:
        raise _refused(table, f"it did not load within {seconds:g} s") from None
    if wrong:
        raise _refused(table, wrong)
    return value  # type: ignore[return-value]  # None only if something was wrong


class _Unfit(Exception):
    """It cannot be a plugin; says why."""


def _make(table: PluginTable, files: dict[Path, ModuleType]) -> api.Plugin:
    """Find it and make it. ``files``: the modules that were loaded from files just now."""
    found = _find(table, files)
    if inspect.isasyncgenfunction(found):
        found = _provider(found)
    if inspect.isclass(found):
        if not issubclass(found, api.Plugin):
            raise _Unfit(f"{_name(found)} is no plugin: extend a class of fairlead.plugins")
        made: object = found(**table.options)
    elif table.options:
        raise _Unfit("options are for a class")
    else:
        made = found
    if not isinstance(made, _KINDS):
        known = ", ".join(kind.__name__ for kind in _KINDS)
        raise _Unfit(
            f"{_name(found)} is no plugin: it must be a class that extends one of {known} of "
            "fairlead.plugins, or an asynchronous generator function, which answers as a model"
        )
    if isinstance(made, api.Provider) and not inspect.isasyncgenfunction(made.answer):
        raise _Unfit("'answer' must be an asynchronous generator: 'async def' with 'yield'")
    for name in ("key", "begin"):
        if inspect.iscoroutinefunction(getattr(made, name, None)):
            raise _Unfit(f"'{name}' must be written with 'def': nobody can wait for it")
    for name in ("timeout", "max_held", "context_tokens"):
        number = getattr(made, name, 1)
        if not isinstance(number, int | float) or number < 0 or (name == "timeout" and not number):
            raise _Unfit(f"'{name}' must be a number, not {number!r:.80}")
    for kind in (api.Rule, api.BudgetKey):
        if isinstance(made, kind) and not isinstance(made.keep, Keep):
            raise _Unfit("'keep' must be a Keep of fairlead.plugins")
    return made


def _find(table: PluginTable, files: dict[Path, ModuleType]) -> Any:
    if not table.thing:
        for point in entry_points(group=GROUP, name=table.use):
            return point.load()
        known = ", ".join(sorted(point.name for point in entry_points(group=GROUP)))
        raise _Unfit(
            f"no installed package has an entry point of this name in the group {GROUP}; "
            + (f"there are {known}" if known else "there is none at all")
            + ". Name a file as ./file.py:Name, a module as package.module:Name"
        )
    path = table.file
    if path is None:
        module = importlib.import_module(table.use.rpartition(":")[0])
    elif path in files:
        module = files[path]
    else:
        module = files[path] = _load(path)
    try:
        return getattr(module, table.thing)
    except AttributeError:
        raise _Unfit(f"there is no {table.thing} in it") from None


_numbers = itertools.count(1)


def _load(path: Path) -> ModuleType:
    """The module in a file, anew."""
    if not path.is_file():
        raise _Unfit(f"there is no file {path}")
    # A name of its own each time: what the module of before has made goes on.
    name = f"fairlead_plugin_{next(_numbers)}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and others look up the module that they stand in.
    sys.modules[name] = module
    try:
        # Compiled here: the cache beside the file goes by whole seconds and sizes.
        exec(compile(path.read_bytes(), path, "exec"), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _provider(agent: Any) -> type[api.Provider]:
    """A generator function as a plugin."""
    return type(agent.__name__, (api.Provider,), {"answer": staticmethod(agent)})


def _name(found: object) -> str:
    return getattr(found, "__name__", type(found).__name__)


def _told(error: BaseException) -> str:
    """An error for the operator, who has the rest in the log."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return text[:500]


def _refused(table: PluginTable, why: str) -> Misconfigured:
    name, use = table.label(), table.use
    which = name if name == use else f"{name} ({use})"
    return Misconfigured(f"plugins: {which}: {why}", setting="plugins")
