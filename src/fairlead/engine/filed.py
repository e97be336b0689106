"""Files that an upstream keeps: whose they are, and who may name them."""

from __future__ import annotations

import re
from collections.abc import Iterator

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
#: What names a file, and what names several, in OpenAI's words.
_NAMES = frozenset({"file_id", "file_ids"})
#: A string of JSON (RFC 8259, section 7), and whether it is a name: then a colon follows.
_STRING = re.compile(rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)"([ \t\r\n]*+:)?', re.DOTALL)
#: Bytes that an id may have, each of its characters written as an escape.
_LONGEST = 6 * MAX_ID

_string = msgspec.json.Decoder(str)


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

    async def check(self, caller: Caller, *said: bytes) -> str:
        """The upstream that keeps the files which a caller's JSON names; empty: it names none that
        were uploaded here.

        Raises :class:`~fairlead.errors.NotFound` for one that is somebody else's, and
        :class:`~fairlead.errors.BadRequest` for those of several upstreams.
        """
        named = {id for data in said if _may_name(data) for id in _named(data)}
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

    async def place(self, caller: Caller, ask: Ask, model: Model) -> Model:
        """Who answers a question that may name files: those who keep them. Raises as
        :meth:`check`."""
        said = [msgspec.json.encode(ask.parameters)] if ask.parameters else []
        if ask.vendor is not None:
            said.append(ask.vendor.body)
        upstream = await self.check(caller, *said)
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
    return b"file_id" in data or b"\\u" in data


def _named(data: bytes) -> Iterator[str]:
    """All files that JSON names anywhere within it.

    It is not parsed, since whoever reads it may parse it otherwise: of a name that stands there
    twice another parser takes the other one.
    """
    names = False
    for found in _STRING.finditer(data):
        text = _text(found[1])
        if found[2]:
            names = text in _NAMES
        elif names and text:
            yield text


def _text(written: bytes) -> str:
    """What a string of JSON says; empty: nothing that could be an id."""
    if len(written) > _LONGEST:
        return ""
    try:
        return _string.decode(b'"%b"' % written)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
