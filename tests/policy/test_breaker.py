"""The circuit breaker, by examples and by a machine that remembers what it was told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fairlead.policy.breaker import Breaker, BreakerSettings, State

SETTINGS = BreakerSettings(failures=3, share=0.5, window=60, least=10, rest=15)


def test_failures_in_a_row_open_it_and_a_probe_closes_it() -> None:
    breaker = Breaker()
    for _ in range(2):
        breaker = breaker.failed(SETTINGS, 1, probe=False)
    assert breaker.admits(1)
    breaker = breaker.failed(SETTINGS, 1, probe=False)
    assert breaker.state is State.OPEN
    assert not breaker.admits(15.9)
    assert breaker.admits(16)
    breaker, probe = breaker.asked()
    assert probe
    assert not breaker.admits(1000)  # one probe at a time, however long it takes
    assert breaker.answering(probe) == Breaker()


def test_probe_that_fails_opens_it_again() -> None:
    breaker, probe = Breaker().tripped(SETTINGS, 0).asked()
    breaker = breaker.failed(SETTINGS, 20, probe)
    assert breaker.state is State.OPEN
    assert not breaker.admits(34.9)
    assert breaker.admits(35)


def test_probe_given_up_lets_another_one_find_out() -> None:
    breaker, probe = Breaker().tripped(SETTINGS, 0).asked()
    assert breaker.let_go(probe).admits(15)


def test_outcomes_of_old_questions_say_nothing_while_it_is_open() -> None:
    breaker = Breaker().tripped(SETTINGS, 0)
    assert breaker.succeeded(SETTINGS, 1, probe=False) is breaker
    assert breaker.failed(SETTINGS, 14, probe=False) is breaker
    probing, _ = breaker.asked()
    assert probing.succeeded(SETTINGS, 16, probe=False) is probing


def test_share_of_failures_opens_it() -> None:
    breaker = Breaker()
    for _ in range(4):
        breaker = breaker.succeeded(SETTINGS, 1, probe=False)
        breaker = breaker.failed(SETTINGS, 1, probe=False)
    breaker = breaker.succeeded(SETTINGS, 2, probe=False)
    assert breaker.state is State.CLOSED  # nine outcomes are too few
    assert breaker.failed(SETTINGS, 2, probe=False).state is State.OPEN
    # What lies before the window does not count.
    assert breaker.failed(SETTINGS, 62, probe=False).state is State.CLOSED


def test_never_opens_when_told_so() -> None:
    breaker, off = Breaker(), BreakerSettings(failures=0)
    for _ in range(100):
        breaker = breaker.failed(off, 0, probe=False).tripped(off, 0)
    assert breaker.admits(0)


@given(st.lists(st.sampled_from(["ask", "good", "bad", "cut", "give up", "wait"]), max_size=60))
def test_open_breaker_lets_nothing_pass_but_one_probe(acts: list[str]) -> None:
    breaker, now, flying = Breaker(), 0.0, list[bool]()
    opened = 0.0
    for act in acts:
        before = breaker.state
        if act == "wait":
            now += 4
        elif act == "ask":
            if not breaker.admits(now):
                assert breaker.state is State.HALF_OPEN or now < opened + SETTINGS.rest
                continue
            breaker, probe = breaker.asked()
            assert probe is (before is not State.CLOSED)
            flying.append(probe)
            assert sum(flying) <= 1 or breaker.state is State.CLOSED
        elif flying:
            probe = flying.pop(0)
            if act == "good":
                breaker = breaker.answering(probe).succeeded(SETTINGS, now, probe)
            elif act == "bad":
                breaker = breaker.failed(SETTINGS, now, probe)
            elif act == "cut":
                breaker = breaker.answering(probe).failed(SETTINGS, now, probe)
            else:
                breaker = breaker.let_go(probe)
            if before is State.HALF_OPEN and not probe:
                assert breaker.state is State.HALF_OPEN
        probed = before is State.HALF_OPEN and act == "bad"
        if breaker.state is State.OPEN and (before is State.CLOSED or probed):
            opened = now
