"""Where configuration comes from: flags, the environment and a TOML file, in this order.

What is unknown, of the wrong type or out of bounds is refused, with the name of the setting, where
it stood, and what would be right. A secret is never repeated.
"""

from __future__ import annotations

import contextlib
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import msgspec

from fairlead.errors import Misconfigured
from fairlead.server.config import BY_NAME, SETTINGS, Config, check
from fairlead.server.settings import ENV_PREFIX, Secret, Setting, did_you_mean
from fairlead.server.tables.key import Key, sha256
from fairlead.server.tables.table import Table

T = TypeVar("T")

#: What a flag may hold: its text, a switch, or the texts of one that was given several times.
Flag = str | bool | Sequence[str]

#: Variables of the prefix that are not settings of a server: the client's, and the file's name.
OTHER_VARIABLES = frozenset({"FAIRLEAD_CONFIG", "FAIRLEAD_SERVER", "FAIRLEAD_API_KEY"})

_MAX_FILE_BYTES = 1 << 20
_MAX_SHOWN = 60
# Kubernetes announces a service called "fairlead" to its neighbours in such variables.
_SERVICE_LINK = re.compile(
    r"FAIRLEAD_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)"
)


class Sources(msgspec.Struct, frozen=True):
    """Where one server has its configuration from, so that it can be read anew; see :func:`load`.
    ``watched`` is the file, if there is one."""

    flags: Mapping[str, Flag]
    environ: Mapping[str, str]
    file: Path | None = None

    def load(self) -> Config:
        """The configuration as it is now. Raises :class:`~fairlead.errors.Misconfigured`."""
        return load(self.flags, self.environ, self.file)

    @property
    def watched(self) -> Path | None:
        """The file that may change."""
        path, _ = _file(self.environ, self.file)
        return path.absolute() if path.is_file() else None


def load(flags: Mapping[str, Flag], environ: Mapping[str, str], file: Path | None = None) -> Config:
    """The configuration from all sources; flags go before the environment, that before the file.

    ``flags``: by setting (``data_dir``), those that were given. ``file``: one that was asked for;
    otherwise the one that ``FAIRLEAD_CONFIG`` names, otherwise ``fairlead.toml`` in the current
    folder if there is one. Paths in the file are relative to its folder.

    Raises :class:`~fairlead.errors.Misconfigured`.
    """
    path, asked = _file(environ, file)
    table = _read_file(path, asked) if asked or path.is_file() else {}

    found = _Found(environ)
    found.file(table, path)
    found.environment()
    found.flags(flags)
    found.values.setdefault("data_dir", _default_data_dir(environ))
    try:
        return Config(**found.values, origins=found.origins)
    except Misconfigured as error:
        setting = str(error.details.get("setting", ""))
        origin = found.origins.get(setting)
        where = f" ({origin})" if origin else ""
        raise Misconfigured(f"{error.message}{where}", **error.details) from None


class _Found:
    """The values found so far and their origins; later sources overrule earlier ones."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.values: dict[str, Any] = {}
        self.origins: dict[str, str] = {}
        self._environ = environ
        self._named: set[str] = set()

    def file(self, table: Mapping[str, Any], path: Path) -> None:
        for name, given in table.items():
            origin = f"{path}: {name}"
            setting = BY_NAME.get(name)
            if setting is None:
                known = [s.name for s in SETTINGS if s.in_file]
                _refuse(name, origin, f"there is no such setting{did_you_mean(name, known)}")
            if not setting.in_file:
                _refuse(name, origin, setting.extra("why"))
            if setting.table is None:
                value: Any = _value(setting, given, origin, text=False)
            elif setting.is_list:
                tables = _tables(name, given, origin, setting.table.PLAIN)
                value = tuple(self._table(setting.table, table, origin) for table in tables)
            elif isinstance(given, dict):
                value = self._table(setting.table, given, origin)
            else:
                _refuse(name, origin, f"write it as a table under [{name}]")
            self._set(setting, value, origin, path.parent)

    def environment(self) -> None:
        by_env = {setting.env: setting for setting in SETTINGS if setting.env}
        for variable in sorted(self._environ):
            if not variable.startswith(ENV_PREFIX) or variable in OTHER_VARIABLES | self._named:
                continue
            given, origin = self._environ[variable], f"variable {variable}"
            setting = by_env.get(variable)
            if setting is None:
                if _SERVICE_LINK.fullmatch(variable):
                    continue
                _refuse("", origin, f"there is no such setting{did_you_mean(variable, by_env)}")
            if not given.strip():
                continue  # as compose files write a variable that is not set
            if setting.name == "keys":
                self._keys(setting, given, origin)
                continue
            if variable == "FAIRLEAD_PORT" and given.startswith("tcp://"):
                continue  # a service link, too
            self._set(setting, _value(setting, given, origin, text=True), origin, Path())

    def flags(self, flags: Mapping[str, Flag]) -> None:
        for name, given in flags.items():
            setting = BY_NAME.get(name)
            if setting is None or not setting.flag:
                flag = "--" + name.replace("_", "-")
                why = setting.extra("why") if setting is not None else "there is no such flag"
                _refuse(name, f"flag {flag}", str(why))
            origin = f"flag {setting.flag}"
            if setting.is_list and not isinstance(given, str | bool):
                given = tuple(given)
                value = _value(setting, given, origin, text=False)
            else:
                value = _value(setting, given, origin, text=True)
            self._set(setting, value, origin, Path())

    def _set(self, setting: Setting, value: Any, origin: str, base: Path) -> None:
        if setting.type is Path:
            value = _absolute(base, value)
        elif setting.name == "documents":
            value = tuple(_absolute(base, path) for path in value)
        elif setting.name == "plugins":
            value = tuple(plugin.within(base) for plugin in value)
        if wrong := check(setting.name, value):
            _refuse(setting.name, origin, wrong)
        self.values[setting.name] = value
        self.origins[setting.name] = origin

    def _keys(self, setting: Setting, given: str, origin: str) -> None:
        """``consumer=secret,…``, beside the keys of the file. Errors never repeat a part of it."""
        keys = []
        for n, item in enumerate(filter(None, map(str.strip, given.split(","))), start=1):
            consumer, equals, key = item.partition("=")
            if not (equals and consumer.strip() and key.strip()):
                _refuse("keys", origin, f"item {n} must be written as consumer=secret")
            keys.append(Key(consumer=consumer.strip(), sha256=sha256(key.strip())))
        before = self.values.get("keys", ())
        if before:
            origin = f"{self.origins['keys']}, {origin}"
        if keys:
            self._set(setting, (*before, *keys), origin, Path())

    def _table(self, kind: type[Table], table: Mapping[str, Any], origin: str) -> Table:
        known = kind.fields()
        for name in table:
            if name in known:
                continue
            if name in kind.WORDS:
                _refuse("", f"{origin}.{name}", kind.WORDS[name])
            _refuse("", f"{origin}.{name}", f"there is no such setting{did_you_mean(name, known)}")
        try:
            return _struct(kind, table, origin).resolved(self._variable)
        except ValueError as error:
            _refuse("", origin, str(error))

    def _variable(self, name: str) -> str:
        """What a variable holds that a table names."""
        self._named.add(name)
        return self._environ.get(name, "").strip()


def _file(environ: Mapping[str, str], file: Path | None) -> tuple[Path, str]:
    """The configuration file and who named it; nobody (empty): it need not be there."""
    if file is not None:
        return file, "--config"
    if environ.get("FAIRLEAD_CONFIG"):
        return Path(environ["FAIRLEAD_CONFIG"]), "the variable FAIRLEAD_CONFIG"
    return Path("fairlead.toml"), ""


def _read_file(path: Path, asked: str) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise Misconfigured(
            f"the configuration file {path}, named by {asked}, cannot be read: {reason}"
        ) from None
    if len(data) > _MAX_FILE_BYTES:
        raise Misconfigured(f"{path} is larger than 1 MiB, which no configuration file is")
    try:
        return tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        # The position only: the text around it might be a secret.
        place = re.search(r"\(at [^)]*\)", str(error))
        raise Misconfigured(
            f"{path} is not TOML{' ' + place[0] if place else ''}; write lines such as port = 8000 "
            'or host = "127.0.0.1"'
        ) from None


def _value(setting: Setting, given: object, origin: str, *, text: bool) -> Any:
    try:
        return setting.read(given, text=text)
    except ValueError as error:
        shown = "" if setting.type is Secret else f"{str(given)[:_MAX_SHOWN]!r}: "
        _refuse(setting.name, origin, f"{shown}{error}")


def _tables(name: str, given: object, origin: str, plain: str) -> list[Mapping[str, Any]]:
    """The tables; a text stands for one with this key alone, where there is ``plain``."""
    if isinstance(given, list) and plain:
        given = [{plain: table} if isinstance(table, str) else table for table in given]
    if not isinstance(given, list) or not all(isinstance(table, dict) for table in given):
        _refuse(name, origin, f"write each as a table under [[{name}]]")
    return given


def _struct(struct: type[T], table: Mapping[str, Any], origin: str) -> T:
    try:
        return msgspec.convert(table, struct)
    except msgspec.ValidationError as error:
        # msgspec names types and the path to the value, never the value.
        text = str(error).replace("`$.", "`").replace("`", "")
        _refuse("", origin, text[0].lower() + text[1:])


def _absolute(base: Path, path: Path) -> Path:
    with contextlib.suppress(RuntimeError):  # nobody's home folder: the name stands as it is
        path = path.expanduser()
    return Path.cwd() / base / path


def _default_data_dir(environ: Mapping[str, str]) -> Path:
    # XDG Base Directory Specification: a relative path is invalid and is to be ignored.
    data_home = Path(environ.get("XDG_DATA_HOME", ""))
    if not data_home.is_absolute():
        home = environ.get("HOME")
        data_home = (Path(home) if home else Path.home()) / ".local" / "share"
    return data_home / "fairlead"


def _refuse(name: str, origin: str, wrong: str) -> NoReturn:
    where = f"{name} ({origin})" if name else origin
    raise Misconfigured(f"{where}: {wrong}", setting=name)
