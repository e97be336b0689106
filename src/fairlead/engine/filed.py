"""Files that an upstream keeps: whose they are, and who may name them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from fairlead.engine.ask import Ask
from fairlead.engine.authority import Authority
from fairlead.engine.models import Model
from fairlead.errors import BadRequest, NotFound
from fairlead.policy.caller import Caller
from fairlead.policy.permissions import Verb
from fairlead.ports.files import MAX_ID, File, Files, Keeping

#: Files that one question may name.
MAX_NAMED = 1000
#: What names a file, in OpenAI's words: one, and several.
_ONE, _SEVERAL = "file_id", "file_ids"

_any = msgspec.json.Decoder()


class Filed:
    """The files of all callers. All upstreams' files are under one key, theirs; who uploaded one
    stands here. One that nobody uploaded here is the upstream's to judge."""

    def __init__(self, files: Files, authority: Authority) -> None:
        self._files = files
        self._authority = authority

    async def room(self, caller: Caller) -> int:
        """How many files the caller has. Raises unless it may upload one."""
        self._authority.allow(caller, Verb.START, None)
        return await self._files.count(caller.consumer)

    async def add(self, file: File) -> None:
        """Keep a file that has been uploaded. Raises :class:`~fairlead.errors.Conflict`."""
        await self._files.add(file)

    async def find(self, caller: Caller, verb: Verb, id: str) -> File:
        """A file that the caller may do this to. Raises :class:`~fairlead.errors.NotFound`."""
        found = (await self._files.find([id])).get(id) if len(id) <= MAX_ID else None
        self._allow(caller, verb, id, found)
        if found is None:
            raise _absent(id)
        return found

    async def page(
        self,
        caller: Caller,
        upstream: str,
        *,
        purpose: str,
        after: str,
        newest_first: bool,
        limit: int,
    ) -> list[File] | None:
        """The caller's files; see :meth:`~fairlead.ports.files.Files.page`."""
        self._authority.allow(caller, Verb.LIST, None)
        return await self._files.page(
            caller.consumer,
            upstream,
            purpose=purpose,
            after=after,
            newest_first=newest_first,
            limit=limit,
        )

    async def forget(self, id: str) -> None:
        """The upstream has it no more."""
        await self._files.remove(id)

    async def check(self, caller: Caller, said: Any) -> str:
        """The upstream that keeps the files which JSON of a caller's names; empty: it names none
        that were uploaded here.

        Raises :class:`~fairlead.errors.NotFound` for one that is somebody else's, and
        :class:`~fairlead.errors.BadRequest` for those of several upstreams.
        """
        named = list(dict.fromkeys(_named(said)))
        if not named:
            return ""
        if len(named) > MAX_NAMED:
            raise BadRequest(f"at most {MAX_NAMED} files may be named")
        found = await self._files.find(named)
        for id, file in found.items():
            self._allow(caller, Verb.READ, id, file)
        upstreams = sorted({file.upstream for file in found.values()})
        if len(upstreams) > 1:
            raise BadRequest(f"the files are kept by several upstreams: {', '.join(upstreams)}")
        return upstreams[0] if upstreams else ""

    async def checked(self, caller: Caller, text: str) -> None:
        """As :meth:`check`, of a text that may be JSON."""
        data = text.encode(errors="surrogatepass")
        if _may_name(data):
            await self.check(caller, _decoded(data))

    async def place(self, caller: Caller, ask: Ask, model: Model) -> Model:
        """Who answers a question that may name files: those who keep them. Raises as
        :meth:`check`."""
        said: list[Any] = [ask.parameters]
        if ask.vendor is not None and _may_name(ask.vendor.body):
            said.append(_decoded(ask.vendor.body))
        upstream = await self.check(caller, said)
        if not upstream or not isinstance(model.provider, Keeping):
            return model
        provider = model.provider.at(upstream)
        if provider is None:
            raise BadRequest(
                f"the file is kept by the upstream {upstream!r}, which has no model {model.name!r}"
            )
        return msgspec.structs.replace(model, provider=provider)

    def _allow(self, caller: Caller, verb: Verb, id: str, file: File | None) -> None:
        owner = None if file is None else file.consumer
        try:
            self._authority.allow(caller, verb, owner)
        except NotFound:
            raise _absent(id) from None


def _absent(id: str) -> NotFound:
    return NotFound(f"there is no file {id[:MAX_ID]!r}, or none that this credential may see")


def _may_name(data: bytes) -> bool:
    """Whether JSON may name files. A name may be written with escapes."""
    return _ONE.encode() in data or b"\\u" in data


def _decoded(data: bytes) -> Any:
    """The JSON; nothing, where it is none: whoever is asked will say so."""
    try:
        return _any.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _named(said: Any) -> Iterator[str]:
    """All files that are named anywhere within it."""
    within = [said]
    while within:
        each = within.pop()
        if isinstance(each, list):
            within += each
        elif isinstance(each, dict):
            for name, value in each.items():
                if name == _ONE and isinstance(value, str):
                    yield value
                elif name == _SEVERAL and isinstance(value, list):
                    yield from (id for id in value if isinstance(id, str))
                else:
                    within.append(value)
