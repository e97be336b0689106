"""What every conversation store promises (``fairlead.ports.conversations``)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import msgspec
import pytest

from fairlead.errors import BadRequest, NotFound, StoreUnavailable
from fairlead.events.attachment import Attachment
from fairlead.events.model import Source
from fairlead.ports.conversations import Attached, Conversation, Conversations, Message
from fairlead.stores.dialogues import TITLE_LENGTH
from fairlead.stores.memory_conversations import MemoryConversations
from fairlead.stores.sqlite_conversations import SqliteConversations

SOURCE = Source(id="p", title="t", address="a", span=(1, 2), score=0.5, snippet="…", heading="h")


@pytest.fixture(params=["memory", "sqlite", "sqlite, two of one file"])
async def stores(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[tuple[Conversations, Conversations]]:
    """Two views of the same dialogues."""
    here: Conversations
    there: Conversations
    if request.param == "memory":
        here = MemoryConversations()
        there = here
    else:
        here = SqliteConversations(tmp_path / "records.db")
        two = "two" in request.param
        there = SqliteConversations(tmp_path / "records.db") if two else here
    await here.open()
    await there.open()
    yield here, there
    await here.close()
    await there.close()
    await there.close()


def conversation(
    id: str = "c", *, owner: str = "ann", at: float = 1.0, title: str = "Tides"
) -> Conversation:
    return Conversation(id=id, owner=owner, title=title, created=at, updated=at)


def question(id: str, parent: str | None = None) -> Message:
    return Message(id=id, parent=parent, role="user", text=f"{id}?", created=1.0)


def answer(id: str, parent: str | None) -> Message:
    return Message(
        id=id, parent=parent, role="assistant", text="", created=1.0, stream=f"s-{id}",
        status="running",
    )  # fmt: skip


Both = tuple[Conversations, Conversations]


async def test_a_first_question(stores: Both) -> None:
    here, there = stores
    kept = await here.put(conversation(), [question("q1"), answer("a1", "q1")])
    assert kept == Conversation(
        id="c", owner="ann", title="Tides", created=1.0, updated=1.0, leaf="a1"
    )
    assert await there.get("c") == kept
    assert await there.messages("c") == [question("q1"), answer("a1", "q1")]
    assert await there.path("c") == [question("q1"), answer("a1", "q1")]


async def test_repeating_changes_nothing(stores: Both) -> None:
    here, there = stores
    first = await here.put(conversation(), [question("q1"), answer("a1", "q1")])
    second = await here.put(conversation(at=5.0), [question("q2", "a1"), answer("a2", "q2")])
    assert (second.created, second.updated, second.leaf) == (1.0, 5.0, "a2")
    assert await there.put(conversation(at=9.0), [question("q1"), answer("a1", "q1")]) == second
    assert [m.id for m in await there.messages("c")] == ["q1", "a1", "q2", "a2"]
    assert first.leaf == "a1"
    assert await there.put(conversation(at=9.0), []) == second


async def test_branches(stores: Both) -> None:
    here, there = stores
    await here.put(conversation(), [question("q1"), answer("a1", "q1")])
    await here.put(conversation(), [question("q2", "a1"), answer("a2", "q2")])
    # Regenerated, then edited.
    await there.put(conversation(), [answer("a2b", "q2")])
    await there.put(conversation(), [question("q1b"), answer("a1b", "q1b")])

    async def path(leaf: str | None = None, limit: int = 200) -> list[str]:
        return [m.id for m in await here.path("c", leaf, limit)]

    assert await path() == ["q1b", "a1b"]
    assert await path("a2") == ["q1", "a1", "q2", "a2"]
    assert await path("a2b") == ["q1", "a1", "q2", "a2b"]
    assert await path("q2") == ["q1", "a1", "q2"]
    assert await path("a2", limit=2) == ["q2", "a2"]
    assert (await there.select("c", "a2b")).leaf == "a2b"
    assert await path() == ["q1", "a1", "q2", "a2b"]
    with pytest.raises(NotFound):
        await here.path("c", "absent")
    with pytest.raises(NotFound):
        await here.select("c", "absent")
    assert [m.id for m in await there.messages("c")] == [
        "q1",
        "a1",
        "q2",
        "a2",
        "a2b",
        "q1b",
        "a1b",
    ]


async def test_finishing_an_answer(stores: Both) -> None:
    here, there = stores
    await here.put(conversation(), [question("q1"), answer("a1", "q1")])
    await here.finish("a1", "The moon.", "completed", [SOURCE])
    finished = (await there.messages("c"))[1]
    assert (finished.text, finished.status, finished.sources) == (
        "The moon.", "completed", (SOURCE,),
    )  # fmt: skip
    assert (finished.parent, finished.stream) == ("q1", "s-a1")
    await here.finish("absent", "x", "failed")


async def test_another_owner_finds_nothing(stores: Both) -> None:
    here, there = stores
    await here.put(conversation(), [question("q1")])
    with pytest.raises(NotFound):
        await there.put(conversation(owner="bob"), [question("x", "q1")])
    assert [m.id for m in await here.messages("c")] == ["q1"]
    assert (await there.page("bob")).items == ()


async def test_messages_of_other_conversations_stay_there(stores: Both) -> None:
    here, there = stores
    await here.put(conversation("c"), [question("q1")])
    with pytest.raises(NotFound):
        await there.put(conversation("d"), [question("x", "q1")])
    with pytest.raises(NotFound):
        await there.get("d")
    await there.put(conversation("d"), [question("y")])
    with pytest.raises(NotFound):
        await here.select("d", "q1")
    with pytest.raises(NotFound):
        await here.path("d", "q1")


async def test_pages_newest_first(stores: Both) -> None:
    here, there = stores
    for i in range(7):
        await here.put(conversation(f"c{i}", at=float(i % 5)), [question(f"q{i}")])
        await there.put(conversation(f"d{i}", owner="bob", at=float(i)), [question(f"r{i}")])
    ids: list[str] = []
    cursor = None
    while True:
        page = await there.page("ann", cursor, limit=3)
        ids += [c.id for c in page.items]
        cursor = page.cursor
        if cursor is None:
            break
    # Equal times are told apart by their ids.
    assert ids == ["c4", "c3", "c2", "c6", "c1", "c5", "c0"]
    await here.put(conversation("c0", at=9.5), [question("again", "q0")])
    assert (await there.page("ann", limit=1)).items[0].id == "c0"
    with pytest.raises(BadRequest):
        await here.page("ann", "nonsense")
    with pytest.raises(BadRequest):
        await here.page("ann", "x~y")


async def test_titles_are_bounded(stores: Both) -> None:
    here, there = stores
    kept = await here.put(conversation(title="a\nb" + "x" * 1000), [question("q1")])
    assert kept.title.startswith("a bx")
    assert len(kept.title) == TITLE_LENGTH
    assert (await there.rename("c", "  Ebb \n and flow ")).title == "Ebb and flow"
    assert (await here.get("c")).title == "Ebb and flow"
    again = await here.put(conversation(title="Other"), [question("q2", "q1")])
    assert again.title == "Ebb and flow"


async def test_deleting_names_the_streams(stores: Both) -> None:
    here, there = stores
    await here.put(conversation(), [question("q1"), answer("a1", "q1"), answer("a2", "q1")])
    assert await there.delete("c") == ["s-a1", "s-a2"]
    for attempt in (
        here.get("c"), here.messages("c"), here.path("c"), here.rename("c", "x"),
        here.select("c", "q1"), here.delete("c"),
    ):  # fmt: skip
        with pytest.raises(NotFound):
            await attempt
    await here.finish("a1", "too late", "completed")
    assert (await there.page("ann")).items == ()
    # The ids are free again.
    assert (await here.put(conversation(), [question("q1")])).leaf == "q1"


async def test_parallel_puts_of_one_conversation(stores: Both) -> None:
    here, there = stores
    await asyncio.gather(
        *(
            store.put(conversation(at=float(i)), [question(f"q{i}"), answer(f"a{i}", f"q{i}")])
            for i in range(20)
            for store in stores
        )
    )
    assert len(await here.messages("c")) == 40
    assert (await there.get("c")).updated == 19.0


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = SqliteConversations(tmp_path / "records.db")
    with pytest.raises(StoreUnavailable):
        await store.get("c")
    await store.open()
    await store.open()
    await store.put(conversation(), [question("q1")])
    await store.close()
    with pytest.raises(StoreUnavailable):
        await store.get("c")
    await store.open()
    assert (await store.get("c")).leaf == "q1"
    await store.close()


PICTURE_OF = {
    "p": Attachment("image/png", b"\x89PNG\0\n", "a.png"),
    "t": Attachment("text/plain", "潮".encode()),
}


def shown(id: str, *attachments: str, parent: str | None = None) -> Message:
    named = tuple(
        Attached(id=a, type=PICTURE_OF[a].type, size=len(PICTURE_OF[a].data)) for a in attachments
    )
    return msgspec.structs.replace(question(id, parent), attachments=named)


async def test_attachments_are_kept_once_and_go_with_their_conversation(stores: Both) -> None:
    here, there = stores
    await here.put(conversation(), [shown("q1", "p", "t"), answer("a1", "q1")], PICTURE_OF)
    await there.put(conversation(), [shown("q2", "p", parent="a1")], PICTURE_OF)
    assert [m.attachments for m in await there.messages("c")] == [
        shown("q", "p", "t").attachments, (), shown("q", "p").attachments,
    ]  # fmt: skip
    assert (await there.path("c", "q1"))[0] == shown("q1", "p", "t")
    assert await there.attachments("c", ["t", "absent", "p"]) == PICTURE_OF
    # Nothing of a message that is there already, or of none, is kept.
    await here.put(conversation("d"), [question("x")], PICTURE_OF)
    await here.put(conversation("d"), [shown("x", "p")], PICTURE_OF)
    assert await there.attachments("d", ["p"]) == {}
    await here.delete("c")
    with pytest.raises(NotFound):
        await there.attachments("c", ["p"])
    await here.put(conversation(), [question("q1")])
    assert await there.attachments("c", ["p", "t"]) == {}


async def test_a_file_of_the_layout_before_attachments_is_led_to_this_one(tmp_path: Path) -> None:
    path = tmp_path / "records.db"
    store = SqliteConversations(path)
    await store.open()
    await store.put(conversation(), [question("q1"), answer("a1", "q1")])
    await store.close()
    db = apsw.Connection(str(path))
    db.execute("ALTER TABLE messages DROP COLUMN attachments; DROP TABLE attachments")
    db.execute("ALTER TABLE messages DROP COLUMN items")
    db.execute("ALTER TABLE conversations DROP COLUMN metadata")
    db.execute("PRAGMA user_version = 1")
    db.close()
    store = SqliteConversations(path)
    await store.open()
    try:
        assert await store.messages("c") == [question("q1"), answer("a1", "q1")]
        await store.put(conversation(), [shown("q2", "p", parent="a1")], PICTURE_OF)
        assert await store.attachments("c", ["p"]) == {"p": PICTURE_OF["p"]}
    finally:
        await store.close()


async def test_what_is_noted_of_a_conversation_and_of_messages_in_a_vendors_words(
    stores: Both,
) -> None:
    here, there = stores
    noted = msgspec.structs.replace(conversation(), metadata={"topic": "tides"})
    assert (await here.put(noted, [])).metadata == {"topic": "tides"}
    assert (await there.get("c")).metadata == {"topic": "tides"}
    assert (await there.annotate("c", {"a": "b"})).metadata == {"a": "b"}
    assert [one.metadata for one in (await here.page("ann")).items] == [{"a": "b"}]
    said = msgspec.structs.replace(question("q1"), items=b'[{"type":"message"}]')
    await here.put(noted, [said, answer("a1", "q1")])
    assert await there.path("c") == [said, answer("a1", "q1")]
    assert (await there.get("c")).metadata == {"a": "b"}
    await there.rewrite("q1", "Less", b"[]")
    found = (await here.messages("c"))[0]
    assert (found.text, found.items) == ("Less", b"[]")
    await here.annotate("c", {})
    assert (await there.get("c")).metadata == {}
    await there.rewrite("absent", "x", b"[]")
    with pytest.raises(NotFound):
        await here.annotate("absent", {})


async def test_a_search_finds_titles_and_texts_of_ones_own(
    stores: tuple[Conversations, Conversations],
) -> None:
    here, there = stores
    await here.put(conversation("c", title="Tides & Moons"), [question("q"), answer("a", "q")])
    await here.put(conversation("d", at=2.0, title="100%_sure"), [question("x")])
    await here.put(conversation("e", owner="bob", title="Tides"), [question("y")])
    await here.finish("a", "The MOON pulls. Ärger", "completed")

    async def found(search: str) -> list[str]:
        return [one.id for one in (await there.page("ann", search=search)).items]

    assert await found("tides") == ["c"]
    assert await found("moon PULLS") == ["c"]
    assert await found("0%_s") == ["d"]
    assert await found("T%s") == []
    assert await found("X?") == ["d"]
    assert await found("\\") == []
    assert await found("") == ["d", "c"]
    page = await there.page("ann", limit=1, search="?")
    assert [one.id for one in page.items] == ["d"]
    rest = await there.page("ann", page.cursor, 1, search="?")
    assert ([one.id for one in rest.items], rest.cursor) == (["c"], None)


async def test_a_listing_says_how_the_branch_in_use_stands(
    stores: tuple[Conversations, Conversations],
) -> None:
    here, there = stores
    await here.put(conversation(), [question("q"), answer("a", "q")])
    assert [one.status for one in (await there.page("ann")).items] == ["running"]
    await here.finish("a", "Yes.", "stopped")
    assert [one.status for one in (await there.page("ann")).items] == ["stopped"]
