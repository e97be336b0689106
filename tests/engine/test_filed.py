"""Whose files are, wherever a question names them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.engine.ask import Ask
from fairlead.engine.authority import Authority
from fairlead.engine.filed import MAX_NAMED, Filed
from fairlead.engine.models import Model
from fairlead.errors import BadRequest, NotFound, Unauthenticated
from fairlead.policy.caller import ADMIN, ALL_SCOPES, READ, Caller
from fairlead.policy.permissions import Verb
from fairlead.ports.files import File
from fairlead.ports.provider import Vendor
from fairlead.stores.memory_files import MemoryFiles
from fairlead.testing.clock import Clock
from fairlead.testing.provider import ScriptedProvider

ANN, BOB = Caller("ann"), Caller("bob")
ROOT = Caller("root", ALL_SCOPES | {ADMIN})


async def filed() -> Filed:
    """Ann has ``file-a``, Bob has ``file-b``, and Ann another one elsewhere."""
    made = Filed(MemoryFiles(), Authority(Clock()))
    for id, consumer, upstream in (
        ("file-a", "ann", "up"),
        ("file-b", "bob", "up"),
        ("file-c", "ann", "elsewhere"),
    ):
        await made.add(File(id=id, consumer=consumer, upstream=upstream))
    return made


NAMING = [
    b'{"file_id": "file-b"}',
    b'[[{"x": {"file_id":"file-b"}}]]',
    b'{"file_ids": ["file-x", "file-b"]}',
    b'{"file_id"\t:\r\n "file-b", "x": 1}',
    b'{"file\\u005fid": "file-b"}',
    b'{"file_id": "\\u0066ile-b"}',
    # Whichever of them a parser takes.
    b'{"file_id": "file-b", "file_id": "file-a"}',
    b'{"file_id": "file-a", "file_id": "file-b"}',
    # Where not every parser follows.
    b'{"file_id": "file-b", "x": ' + b"9" * 5000 + b"}",
    b'{"x": "\\ud800", "file_id": "file-b"}',
    b"[" * 5000 + b'{"file_id": "file-b"}' + b"]" * 5000,
    b'{"text": "a \\"quoted\\" word \\\\", "file_id": "file-b"}',
]


@pytest.mark.parametrize("data", NAMING)
async def test_somebody_elses_is_not_there(data: bytes) -> None:
    files = await filed()
    with pytest.raises(NotFound, match="no file 'file-b'"):
        await files.check(ANN, data)
    assert await files.check(BOB, data.replace(b"file-a", b"file-x")) == "up"
    assert await files.check(ROOT, data) == "up"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"no JSON, but file_id: file-b",
        b'{"text": "a file_id: file-b"}',
        b'{"text": "{\\"file_id\\": \\"file-b\\"}"}',
        b'{"required": ["file_id"], "x": "file-b"}',
        b'{"file_id": {"type": "string"}, "x": "file-b"}',
        b'{"file_id": "file-far"}',
        b'{"file_id": "' + b"x" * 100_000 + b'"}',
        b'{"file_id": "file-b',
    ],
)
async def test_what_names_none_that_was_uploaded_here(data: bytes) -> None:
    assert await (await filed()).check(ANN, data) == ""


@given(
    before=st.recursive(
        st.none() | st.integers() | st.text(max_size=9),
        lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=9), each),
        max_leaves=9,
    ),
    ascii=st.booleans(),
)
async def test_it_is_found_whatever_stands_around_it(before: Any, ascii: bool) -> None:
    body = {"before": before, "within": [before, {"file_id": "file-b"}], "after": before}
    with pytest.raises(NotFound):
        await (await filed()).check(
            ANN, json.dumps(body, ensure_ascii=ascii).encode(errors="replace")
        )


async def test_bounds() -> None:
    files = await filed()
    many = json.dumps({"file_ids": [f"file-{n}" for n in range(MAX_NAMED + 1)]}).encode()
    with pytest.raises(BadRequest, match="at most"):
        await files.check(ANN, many)
    with pytest.raises(BadRequest, match="several upstreams: elsewhere, up"):
        await files.check(ANN, b'{"file_ids": ["file-a", "file-c"]}')


async def test_who_answers_a_question_that_names_one() -> None:
    files = await filed()
    own = Model("mine", ScriptedProvider())
    asked = Ask(vendor=Vendor("openai-chat", b'{"file_id": "file-b"}'))
    with pytest.raises(NotFound):
        await files.place(ANN, asked, own)
    with pytest.raises(NotFound):
        await files.place(ANN, Ask(parameters={"tools": [{"file_ids": ["file-b"]}]}), own)
    # A program's own agent may make of it what it likes.
    assert await files.place(BOB, asked, own) is own
    assert await files.place(ANN, Ask(message="Hi", parameters={"temperature": 1}), own) is own


async def test_what_may_be_done_to_a_file() -> None:
    files = await filed()
    reader = Caller("ann", frozenset({READ}))
    assert (await files.find(reader, Verb.READ, "file-a")).id == "file-a"
    assert await files.room(ANN) == 2
    for caller, verb, id in (
        (reader, Verb.DELETE, "file-a"),
        (ANN, Verb.READ, "file-b"),
        (ANN, Verb.READ, "file-x"),
        (ANN, Verb.READ, "x" * 1000),
        (ROOT, Verb.READ, "file-x"),
    ):
        with pytest.raises(NotFound):
            await files.find(caller, verb, id)
    with pytest.raises(NotFound):
        await files.room(reader)
    over = msgspec.structs.replace(ANN, expires_at=1.0)
    with pytest.raises(Unauthenticated):
        await files.find(over, Verb.READ, "file-a")
