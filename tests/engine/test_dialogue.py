"""Dialogues: history, branches, titles, what the provider is told."""

from __future__ import annotations

import hashlib

import pytest

from fairlead.engine.ask import Ask
from fairlead.engine.dialogue import within_context
from fairlead.errors import BadRequest, NotFound, UnsupportedAttachment
from fairlead.events.attachment import Attachment
from fairlead.journal.position import parse_position
from fairlead.ports.provider import Turn
from tests.engine.conftest import ALICE, BOB, Bench
from tests.support.attachments import NOTES, PICTURE, PNG, TEXT


async def answered(bench: Bench, text: str, message: str = "", **fields: object) -> tuple[str, str]:
    """Ask and answer; the conversation's and the answer's ids."""
    started = await bench.engine.start(ALICE, Ask(message=message, **fields))  # type: ignore[arg-type]
    bench.provider.say(text)
    bench.provider.finish()
    await (await bench.read(started.stream)).to_end()
    await bench.engine.wait_idle()
    return started.meta.conversation, started.meta.message


async def test_the_next_question_knows_the_history(bench: Bench) -> None:
    conversation, _ = await answered(bench, "Paris.", "Capital of France?")
    await answered(bench, "Seine.", "Its river?", conversation=conversation)
    assert bench.provider.requests[-1].turns == (
        Turn("user", "Capital of France?"),
        Turn("assistant", "Paris."),
        Turn("user", "Its river?"),
    )
    found, messages = await bench.engine.dialogues.read(ALICE, conversation)
    assert found.title == "Capital of France?"
    assert [m.text for m in messages] == ["Capital of France?", "Paris.", "Its river?", "Seine."]
    assert found.leaf == messages[-1].id


async def test_an_unknown_conversation_is_created_under_its_id(bench: Bench) -> None:
    conversation, _ = await answered(bench, "Yes.", "There?", conversation="chosen-by-client")
    assert conversation == "chosen-by-client"
    await bench.engine.dialogues.read(ALICE, "chosen-by-client")


async def test_another_owners_conversation_is_not_found(bench: Bench) -> None:
    conversation, _ = await answered(bench, "Yes.", "There?")
    for verb in (
        bench.engine.start(BOB, Ask(message="x", conversation=conversation)),
        bench.engine.dialogues.read(BOB, conversation),
        bench.engine.dialogues.rename(BOB, conversation, "mine now"),
        bench.engine.dialogues.delete(BOB, conversation),
    ):
        with pytest.raises(NotFound):
            await verb


async def test_editing_makes_a_branch(bench: Bench) -> None:
    conversation, first = await answered(bench, "Paris.", "Capital of France?")
    await answered(bench, "Seine.", "Its river?", conversation=conversation)
    _, other = await answered(
        bench, "2 million.", "Its people?", conversation=conversation, parent=first
    )
    assert [t.text for t in bench.provider.requests[-1].turns] == [
        "Capital of France?",
        "Paris.",
        "Its people?",
    ]
    found, messages = await bench.engine.dialogues.read(ALICE, conversation)
    assert found.leaf == other
    assert sum(m.parent == first for m in messages) == 2


async def test_regenerating_answers_the_same_question_again(bench: Bench) -> None:
    conversation, answer = await answered(bench, "Paris.", "Capital of France?")
    await answered(bench, "It is Paris.", conversation=conversation, regenerate=answer)
    assert [t.text for t in bench.provider.requests[-1].turns] == ["Capital of France?"]
    _, messages = await bench.engine.dialogues.read(ALICE, conversation)
    answers = [m for m in messages if m.role == "assistant"]
    assert {m.parent for m in answers} == {messages[0].id}
    assert [m.text for m in answers] == ["Paris.", "It is Paris."]


async def test_a_branch_can_be_taken_into_use(bench: Bench) -> None:
    conversation, answer = await answered(bench, "Paris.", "Capital of France?")
    await answered(bench, "It is Paris.", conversation=conversation, regenerate=answer)
    await bench.engine.dialogues.select(ALICE, conversation, answer)
    await answered(bench, "Seine.", "Its river?", conversation=conversation)
    assert bench.provider.requests[-1].turns[1] == Turn("assistant", "Paris.")


async def test_an_unknown_parent_is_not_found(bench: Bench) -> None:
    conversation, _ = await answered(bench, "Paris.", "Capital of France?")
    with pytest.raises(NotFound):
        await bench.ask("x", conversation=conversation, parent="none-such")
    assert bench.engine.running == 0


async def test_renaming_and_deleting(bench: Bench) -> None:
    conversation, _ = await answered(bench, "Paris.", "Capital of France?")
    assert (await bench.engine.dialogues.rename(ALICE, conversation, " France ")).title == "France"
    with pytest.raises(BadRequest):
        await bench.engine.dialogues.rename(ALICE, conversation, "  ")
    _, messages = await bench.engine.dialogues.read(ALICE, conversation)
    await bench.engine.dialogues.delete(ALICE, conversation)
    with pytest.raises(NotFound):
        await bench.engine.dialogues.read(ALICE, conversation)
    assert messages[-1].stream is not None
    with pytest.raises(NotFound):
        await bench.engine.read(ALICE, messages[-1].stream)


async def test_a_stopped_answer_keeps_its_text_in_the_dialogue(bench: Bench) -> None:
    started = await bench.engine.start(ALICE, Ask(message="Why?"))
    bench.provider.say("Half")
    await (await bench.read(started.stream)).until(lambda r: r.text == "Half")
    await bench.engine.stop(ALICE, started.stream)
    _, messages = await bench.engine.dialogues.read(ALICE, started.meta.conversation)
    assert (messages[-1].text, messages[-1].status) == ("Half", "stopped")


async def test_the_system_turn_goes_first(bench: Bench) -> None:
    await answered(bench, "Oui.", "There?", system="Answer in French.")
    assert bench.provider.requests[-1].turns[0] == Turn("system", "Answer in French.")


def test_the_oldest_turns_give_way_to_the_context() -> None:
    turns = [Turn("system", "short")]
    for n in range(50):
        turns += [Turn("user", f"question {n} " * 20), Turn("assistant", f"answer {n} " * 20)]
    turns.append(Turn("user", "the question"))
    kept = within_context(turns, 1000)
    assert kept[0] == turns[0]
    assert kept[-1] == turns[-1]
    assert kept[1].role == "user"
    assert 3 < len(kept) < 20
    assert list(kept[1:]) == turns[len(turns) - len(kept) + 1 :]


def test_the_question_stays_however_long() -> None:
    question = Turn("user", "x" * 100_000)
    assert within_context([Turn("user", "a"), Turn("assistant", "b"), question], 100) == (question,)


async def test_an_interruption_stops_and_asks_on_from_what_was_shown(bench: Bench) -> None:
    started = await bench.engine.start(ALICE, Ask(message="Tell me a story."))
    bench.provider.say("Once upon ", "a time ", "there was ")
    story = "Once upon a time there was "
    reading = await (await bench.read(started.stream)).until(lambda r: r.text == story)
    shown = parse_position(reading.ids[-2].partition(".")[2])
    asked = Ask(message="Shorter, please.")
    second = await bench.engine.interrupt(ALICE, started.stream, shown, asked)
    await bench.provider.wait_closed()
    again = await bench.engine.interrupt(ALICE, started.stream, shown, asked)
    assert again.stream == second.stream
    assert not again.created
    request = await bench.provider.wait_started(2)
    assert request.turns == (
        Turn("user", "Tell me a story."),
        Turn("assistant", "Once upon a time "),
        Turn("user", "Shorter, please."),
    )
    assert len(bench.provider.requests) == 2
    await reading.to_end()
    assert reading.events[-1] == ("done", {"status": "stopped", "reason": "stop"})
    conversation, messages = await bench.engine.dialogues.read(ALICE, started.meta.conversation)
    assert messages[1].text == "Once upon a time there was "
    assert messages[1].shown == len("Once upon a time ")
    assert conversation.leaf == second.meta.message


async def test_an_interruption_before_anything_was_shown(bench: Bench) -> None:
    started = await bench.engine.start(ALICE, Ask(message="Tell me a story."))
    bench.provider.say("Once ")
    await (await bench.read(started.stream)).until(lambda r: r.text == "Once ")
    await bench.engine.interrupt(ALICE, started.stream, None, Ask(message="No, a poem."))
    request = await bench.provider.wait_started(2)
    assert [t.text for t in request.turns] == ["Tell me a story.", "No, a poem."]


async def test_what_cannot_be_asked_interrupts_nothing(bench: Bench) -> None:
    started = await bench.engine.start(ALICE, Ask(message="Tell me a story."))
    for caller, ask, error in [
        (ALICE, Ask(message=" "), BadRequest),
        (BOB, Ask(message="mine"), NotFound),
    ]:
        with pytest.raises(error):
            await bench.engine.interrupt(caller, started.stream, None, ask)
    assert bench.engine.running == 1


def pictures(bench: Bench) -> list[tuple[bytes, ...]]:
    """What the provider was shown with each question of the newest request."""
    turns = bench.provider.requests[-1].turns
    return [tuple(a.data for a in turn.attachments) for turn in turns if turn.role == "user"]


async def test_attachments_stay_in_the_dialogue_newest_first_as_room_allows(bench: Bench) -> None:
    bench.provider.context_tokens = 1 << 30
    total = bench.engine.limits.attachments.total
    large = Attachment("text/plain", b"x" * (total // 2 - len(NOTES)))
    conversation, _ = await answered(bench, "a", "1", attachments=(TEXT,))
    await answered(bench, "b", "2", conversation=conversation, attachments=(large, TEXT))
    assert pictures(bench) == [(NOTES,), (large.data, NOTES)]
    other = Attachment("text/plain", b"y" * (total // 2))
    _, last = await answered(bench, "c", "3", conversation=conversation, attachments=(other,))
    assert pictures(bench) == [(NOTES,), (large.data, NOTES), (other.data,)]
    # Of what went before the newest goes along, as much as one question may have.
    await answered(bench, "d", "4", conversation=conversation, attachments=(TEXT, PICTURE))
    assert pictures(bench) == [(NOTES,), (NOTES,), (other.data,), (NOTES, PNG)]
    # Asked again, a question has its own, and what was before it.
    await answered(bench, "e", conversation=conversation, regenerate=last)
    assert pictures(bench) == [(NOTES,), (large.data, NOTES), (other.data,)]


async def test_a_provider_is_given_what_it_takes(bench: Bench) -> None:
    conversation, first = await answered(bench, "a", "1", attachments=(PICTURE, TEXT))
    bench.provider.takes = ("text/plain",)
    with pytest.raises(UnsupportedAttachment, match=r"takes no image/png \(mole.png\)"):
        await answered(bench, "b", "2", attachments=(PICTURE,))
    with pytest.raises(UnsupportedAttachment):
        await answered(bench, "b", conversation=conversation, regenerate=first)
    await answered(bench, "b", "2", conversation=conversation)
    assert pictures(bench) == [(NOTES,), ()]


async def test_asking_again_takes_no_others(bench: Bench) -> None:
    conversation, first = await answered(bench, "a", "1")
    with pytest.raises(BadRequest, match="keeps the attachments of its question"):
        await answered(bench, "b", conversation=conversation, regenerate=first, attachments=(TEXT,))


def test_attachments_count_for_the_context() -> None:
    long = Attachment("text/plain", b"x" * 400)
    turns = [Turn("user", "a", (long,)), Turn("assistant", "b"), Turn("user", "c", (long,))]
    assert within_context(turns, 500) == tuple(turns)
    assert within_context(turns, 300) == (turns[-1],)
    turns[0] = Turn("user", "a", (PICTURE,))
    assert within_context(turns, 2000) == (turns[-1],)


def test_the_fingerprint_of_a_question_without_attachments_is_as_it_was() -> None:
    ask = Ask(message="Hi", parameters={"b": 1, "a": 2})
    plain = (
        b'{"message":"Hi","conversation":"","parent":null,"regenerate":"","model":"","system":"",'
        b'"parameters":{"a":2,"b":1},"orphan_window":null,"background":false}'
    )
    assert ask.fingerprint() == hashlib.sha256(plain).digest()
