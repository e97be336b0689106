"""Who may begin, who waits and where: no more than there is room for, and nobody forgotten."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from fairlead.policy.admission import Admission, Room, Share


def served(admission: Admission, running: list[int], rounds: int) -> list[int]:
    """Those whose turns come while one after the other ends."""
    begun: list[int] = []
    for _ in range(rounds):
        new = admission.leave(running.pop(0))
        running += new
        begun += new
    return begun


def test_who_finds_room_begins_and_the_rest_wait_in_order() -> None:
    admission = Admission(Room(running=1, waiting=2))
    assert admission.ask(0, "a") == "enter"
    assert admission.ask(1, "a") == "wait"
    assert admission.ask(2, "a") == "wait"
    assert admission.places() == {1: 1, 2: 2}
    assert admission.ask(3, "b") == "server"
    assert admission.leave(0) == [1]
    assert admission.places() == {2: 1}
    assert admission.leave(0) == []


def test_one_who_gives_up_makes_room_in_the_queue_only() -> None:
    admission = Admission(Room(running=1, waiting=2))
    for ticket in range(3):
        admission.ask(ticket, "a")
    assert admission.leave(1) == []
    assert admission.places() == {2: 1}
    assert admission.leave(0) == [2]


def test_a_hundred_questions_of_one_keep_another_waiting_for_a_single_turn() -> None:
    admission = Admission(Room(running=1, waiting=200, waiting_each=150))
    for ticket in range(101):
        admission.ask(ticket, "many")
    assert admission.ask(500, "one") == "wait"
    assert admission.places()[500] <= 2
    assert 500 in served(admission, [0], 2)


def test_turns_are_in_proportion_to_weights() -> None:
    shares = {"heavy": Share(weight=3.0)}
    admission = Admission(Room(running=1, waiting=400, waiting_each=200), shares)
    admission.ask(0, "other")
    for n in range(1, 101):
        admission.ask(n, "heavy")
        admission.ask(1000 + n, "light")
    begun = served(admission, [0], 80)
    heavy = sum(ticket < 1000 for ticket in begun)
    assert 58 <= heavy <= 62


def test_places_tell_the_order_in_which_turns_come() -> None:
    admission = Admission(Room(running=1, waiting=100), {"b": Share(weight=2.0)})
    admission.ask(0, "a")
    for n in range(1, 10):
        admission.ask(n, "abc"[n % 3])
    promised = sorted(admission.places().items(), key=lambda item: item[1])
    assert served(admission, [0], 9) == [ticket for ticket, _ in promised]


def test_a_consumer_at_its_cap_does_not_hold_up_others() -> None:
    admission = Admission(Room(running=10, running_each=1, waiting=10))
    assert admission.ask(0, "a") == "enter"
    assert admission.ask(1, "a") == "wait"
    assert admission.ask(2, "b") == "enter"
    assert admission.leave(2) == []
    assert admission.leave(0) == [1]


def test_who_has_filled_its_own_part_of_the_queue_is_told_so() -> None:
    admission = Admission(Room(running=1, waiting=10, waiting_each=1))
    admission.ask(0, "a")
    admission.ask(1, "a")
    assert admission.ask(2, "a") == "consumer"
    assert admission.ask(3, "b") == "wait"


def test_where_nobody_waits_a_cap_is_the_consumers_own_or_the_servers() -> None:
    admission = Admission(Room(running=2, running_each=1, waiting=0))
    admission.ask(0, "a")
    assert admission.ask(1, "a") == "consumer"
    admission.ask(2, "b")
    assert admission.ask(3, "c") == "server"


def test_more_room_lets_those_in_who_wait() -> None:
    admission = Admission(Room(running=1, waiting=10))
    for ticket in range(4):
        admission.ask(ticket, "a")
    assert admission.change(Room(running=3, waiting=10), {}) == [1, 2]
    assert admission.change(Room(running=1, waiting=10), {}) == []
    assert admission.leave(0) == []


def test_having_been_idle_earns_nothing() -> None:
    admission = Admission(Room(running=1, waiting=100, waiting_each=50))
    running = [0]
    admission.ask(0, "busy")
    for n in range(1, 21):
        admission.ask(n, "busy")
    served(admission, running, 20)
    for n in range(100, 110):
        admission.ask(n, "late")
    for n in range(200, 210):
        admission.ask(n, "busy")
    begun = served(admission, running, 10)
    assert 4 <= sum(ticket >= 200 for ticket in begun) <= 6


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("ask"), st.sampled_from("abcd")),
            st.tuples(st.just("leave"), st.integers(0, 60)),
        ),
        max_size=120,
    ),
    st.integers(1, 4),
    st.integers(0, 3),
    st.integers(0, 6),
    st.integers(0, 3),
)
def test_room_is_never_exceeded_nor_left_empty(
    steps: list[tuple[str, str | int]], running: int, each: int, waiting: int, waiting_each: int
) -> None:
    room = Room(running=running, running_each=each, waiting=waiting, waiting_each=waiting_each)
    admission = Admission(room)
    runs: dict[int, str] = {}
    waits: dict[int, str] = {}
    ticket = 0
    for step, what in steps:
        if step == "ask":
            assert isinstance(what, str)
            verdict = admission.ask(ticket, what)
            if verdict == "enter":
                runs[ticket] = what
            elif verdict == "wait":
                waits[ticket] = what
            ticket += 1
        else:
            assert isinstance(what, int)
            runs.pop(what, None)
            waits.pop(what, None)
            for begun in admission.leave(what):
                runs[begun] = waits.pop(begun)
        assert len(runs) == admission.running <= running
        assert len(waits) == admission.waiting <= waiting
        cap = each or running
        by_consumer = Counter(runs.values())
        assert all(count <= cap for count in by_consumer.values())
        if waiting_each:
            assert all(count <= waiting_each for count in Counter(waits.values()).values())
        if len(runs) < running:
            # Room is left only to those who may not have it.
            assert all(by_consumer[consumer] >= cap for consumer in waits.values())
        assert sorted(admission.places().values()) == list(range(1, len(waits) + 1))
        assert admission.places().keys() == waits.keys()
