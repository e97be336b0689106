"""Questions whose callers keep their dialogues themselves, in words of their own or a vendor's."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import pytest

from fairlead.dialects import native
from fairlead.engine.ask import Ask
from fairlead.engine.models import Model, Models
from fairlead.errors import BadRequest, Conflict, HistoryGone, TooLarge, UnsupportedAttachment
from fairlead.events.attachment import Attachment
from fairlead.events.meta import GenerationMeta
from fairlead.events.model import Event, Token, Unknown
from fairlead.journal.position import Epoch, Position, parse_position
from fairlead.ports.knowledge import Passage
from fairlead.ports.provider import Call, Turn, Vendor
from fairlead.testing.provider import ScriptedProvider
from tests.engine.conftest import ALICE, Bench, Reading
from tests.support.attachments import PNG

TURNS = (
    Turn("system", "Be brief."),
    Turn("user", "What is the weather in Paris?"),
    Turn("assistant", "", calls=(Call("c1", "weather", '{"city":"Paris"}'),)),
    Turn("tool", "18 degrees", call_id="c1"),
)
VENDOR = Vendor("some-dialect", b'{"messages":["in their words"],"unknown":1}')


class Library:
    """Knowledge that remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def retrieve(self, question: str, limit: int = 5, before: str = "") -> list[Passage]:
        self.asked.append(question)
        return []

    async def passage(self, id: str, around: int = 0) -> Passage:
        raise AssertionError


async def test_a_whole_dialogue_reaches_the_provider_and_is_not_stored(bench: Bench) -> None:
    started = await bench.engine.start(ALICE, Ask(turns=TURNS, vendor=VENDOR))
    request = await bench.provider.wait_started()
    assert request.turns == TURNS
    assert request.vendor == VENDOR
    assert request.conversation == started.meta.conversation == started.meta.message == ""
    bench.provider.say("18 degrees.")
    bench.provider.finish()
    reading = await (await bench.read(started.stream)).to_end()
    assert reading.text == "18 degrees."
    assert (await bench.engine.dialogues.page(ALICE, None, 10)).items == ()


async def test_the_question_for_the_documents_is_the_last_of_the_user(bench: Bench) -> None:
    bench.engine.knowledge = library = Library()
    await bench.engine.start(ALICE, Ask(turns=TURNS))
    await bench.provider.wait_started()
    assert library.asked == ["What is the weather in Paris?"]


async def test_a_model_may_leave_the_documents_out_for_vendors(bench: Bench) -> None:
    bench.engine.knowledge = library = Library()
    model = Model("scripted", bench.provider, searches_for_vendors=False)
    bench.engine.models = Models([model])
    await bench.engine.start(ALICE, Ask(turns=TURNS, vendor=VENDOR))
    await bench.provider.wait_started()
    assert library.asked == []
    await bench.engine.start(ALICE, Ask(message="And natively?"))
    await bench.provider.wait_started(2)
    assert library.asked == ["And natively?"]


async def test_such_an_answer_cannot_be_broken_into(bench: Bench) -> None:
    started = await bench.engine.start(ALICE, Ask(turns=TURNS))
    with pytest.raises(BadRequest, match="no conversation"):
        await bench.engine.interrupt(ALICE, started.stream, None, Ask(message="Stop!"))


async def test_the_same_key_finds_the_same_words_and_refuses_others(bench: Bench) -> None:
    ask = Ask(turns=TURNS, vendor=VENDOR)
    first = await bench.engine.start(ALICE, ask, "k")
    again = await bench.engine.start(ALICE, ask, "k")
    assert again.stream == first.stream
    assert not again.created
    for other in (
        Ask(turns=TURNS, vendor=Vendor("some-dialect", b'{"unknown":2}')),
        Ask(turns=TURNS, vendor=Vendor("another", VENDOR.body)),
        Ask(turns=TURNS),
    ):
        with pytest.raises(Conflict):
            await bench.engine.start(ALICE, other, "k")


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"message": "Hi"}, BadRequest),
        ({"conversation": "c"}, BadRequest),
        ({"attachments": (Attachment("image/png", PNG),)}, BadRequest),
    ],
)
async def test_nothing_of_another_dialogue_goes_beside_it(
    bench: Bench, fields: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await bench.engine.start(ALICE, Ask(turns=TURNS, **fields))
    assert bench.provider.requests == []


async def test_a_turn_is_bounded(bench: Bench) -> None:
    with pytest.raises(TooLarge, match=r"turns\[0\]"):
        await bench.engine.start(ALICE, Ask(turns=(Turn("user", "x" * 100_001),)))


class Speaker(ScriptedProvider):
    takes: tuple[str, ...] = ()
    speaks = ("some-dialect",)


async def test_what_only_the_vendors_words_can_say_needs_who_speaks_them(bench: Bench) -> None:
    turns = (Turn("user", "Look", unsaid=("a picture by its address",)),)
    pictured = (Turn("user", "Look", attachments=(Attachment("image/png", PNG),)),)
    deaf, speaker = ScriptedProvider(), Speaker()
    deaf.takes = ()
    bench.engine.models = Models([Model("deaf", deaf), Model("speaker", speaker)])
    with pytest.raises(UnsupportedAttachment, match="a picture by its address"):
        await bench.engine.start(ALICE, Ask(turns=turns, vendor=VENDOR, model="deaf"))
    with pytest.raises(UnsupportedAttachment, match="image/png"):
        await bench.engine.start(ALICE, Ask(turns=pictured, vendor=VENDOR, model="deaf"))
    await bench.engine.start(ALICE, Ask(turns=turns, vendor=VENDOR, model="speaker"))
    await bench.engine.start(ALICE, Ask(turns=pictured, vendor=VENDOR, model="speaker"))
    assert (await speaker.wait_started(2)).turns == pictured


class Counting:
    """A wire whose bytes tell how much it has seen."""

    transport = "counting"
    key: Hashable | None = "counting"
    mergeable = False
    remembers = True

    def __init__(self, stream: str, meta: GenerationMeta) -> None:
        self._native = native.begin(stream, meta, native.Options())

    def begin(self, offset: int) -> int:
        assert offset == 0
        return 0

    def step(self, state: int, event: Event | Unknown, position: bytes) -> tuple[int, bytes]:
        state += len(event.text) if isinstance(event, Token) else 0
        return state, b'id: s.%b\nevent: token\ndata: {"token":"%d "}\n\n' % (position, state)

    def keeps(self, state: int) -> bool:
        return False

    def flush(self, state: int) -> tuple[int, bytes]:
        return state, b""


async def test_a_wire_that_remembers_is_shown_the_beginning_unseen(bench: Bench) -> None:
    stream = await bench.ask()
    bench.provider.say("a", "bb", "ccc", "dddd")
    bench.provider.finish()
    whole = await Reading(
        bench.engine,
        await bench.engine.attach(ALICE, stream, None, Counting),
    ).to_end()
    assert whole.text.split() == ["0", "1", "3", "6", "10", "10"]
    for read, position in enumerate(whole.ids[:-1], 1):
        at = await bench.engine.attach(
            ALICE,
            stream,
            parse_position(position.partition(".")[2]),
            Counting,
        )
        rest = await Reading(bench.engine, at).to_end()
        assert rest.text.split() == whole.text.split()[read:]


async def test_it_cannot_take_back_what_was_lost(bench: Bench) -> None:
    stream = await bench.ask()
    with pytest.raises(HistoryGone):
        await bench.engine.attach(ALICE, stream, Position(Epoch(9, "zzzzzz"), 3), Counting)
