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
from fairlead.server.config import SETTINGS, Config, Key, Upstream, check, sha256
from fairlead.server.settings import ENV_PREFIX, Secret, Setting, did_you_mean

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
_BY_NAME = {setting.name: setting for setting in SETTINGS}
_IN_KEY = ("consumer", "key_env", "sha256", "scopes")
_IN_UPSTREAM = tuple(name for name in Upstream.__struct_fields__ if name != "api_key")


def load(flags: Mapping[str, Flag], environ: Mapping[str, str], file: Path | None = None) -> Config:
    """The configuration from all sources; flags go before the environment, that before the file.

    ``flags``: by setting (``data_dir``), those that were given. ``file``: one that was asked for;
    otherwise the one that ``FAIRLEAD_CONFIG`` names, otherwise ``fairlead.toml`` in the current
    folder if there is one. Paths in the file are relative to its folder.

    Raises :class:`~fairlead.errors.Misconfigured`.
    """
    path, asked = file, "--config"
    if path is None and environ.get("FAIRLEAD_CONFIG"):
        path, asked = Path(environ["FAIRLEAD_CONFIG"]), "the variable FAIRLEAD_CONFIG"
    if path is not None:
        table = _read_file(path, asked)
    else:
        path = Path("fairlead.toml")
        table = _read_file(path, "the current folder") if path.is_file() else {}

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
            setting = _BY_NAME.get(name)
            if setting is None:
                known = [s.name for s in SETTINGS if s.in_file]
                _refuse(name, origin, f"there is no such setting{did_you_mean(name, known)}")
            if not setting.in_file:
                _refuse(name, origin, setting.extra("why"))
            if name == "keys":
                value: Any = tuple(self._key(t, origin) for t in _tables(name, given, origin))
            elif name == "upstreams":
                value = tuple(self._upstream(t, origin) for t in _tables(name, given, origin))
            else:
                value = _value(setting, given, origin, text=False)
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
            setting = _BY_NAME.get(name)
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

    def _key(self, table: Mapping[str, Any], origin: str) -> Key:
        _only(table, _IN_KEY, origin, "key", "a key itself does not belong in a file; name an "
              "environment variable in key_env, or give its sha256")  # fmt: skip
        made = _struct(Key, table, origin)
        if made.key_env and made.sha256:
            _refuse("", origin, f"{made.consumer}: give key_env or sha256, not both")
        if made.key_env:
            self._named.add(made.key_env)
            if key := self._environ.get(made.key_env, "").strip():
                made = msgspec.structs.replace(made, sha256=sha256(key))
        return made

    def _upstream(self, table: Mapping[str, Any], origin: str) -> Upstream:
        _only(table, _IN_UPSTREAM, origin, "api_key", "a key does not belong in a file; name an "
              "environment variable in api_key_env")  # fmt: skip
        made = _struct(Upstream, table, origin)
        if made.api_key_env:
            self._named.add(made.api_key_env)
            secret = Secret(self._environ.get(made.api_key_env, "").strip())
            made = msgspec.structs.replace(made, api_key=secret)
        return made


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


def _tables(name: str, given: object, origin: str) -> list[Mapping[str, Any]]:
    if not isinstance(given, list) or not all(isinstance(table, dict) for table in given):
        _refuse(name, origin, f"write each as a table under [[{name}]]")
    return given


def _only(
    table: Mapping[str, Any], known: Sequence[str], origin: str, secret: str, why: str
) -> None:
    for name in table:
        if name == secret:
            _refuse("", f"{origin}.{name}", why)
        if name not in known:
            _refuse("", f"{origin}.{name}", f"there is no such setting{did_you_mean(name, known)}")


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
