"""Routes: the first that fits."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.policy.caller import ANONYMOUS, Caller
from fairlead.policy.facts import Facts
from fairlead.policy.routing import Match, Route, fits, route


@given(st.text("ab*?", max_size=8), st.text("ab", max_size=8))
def test_globs_mean_what_a_shell_means(glob: str, text: str) -> None:
    assert fits(glob, text) == fnmatch.fnmatchcase(text, glob)


@pytest.mark.parametrize(
    ("glob", "text"), [("a.c", "abc"), ("[ab]", "a"), ("GPT-*", "gpt-4"), ("a", "a\n")]
)
def test_everything_else_stands_for_itself(glob: str, text: str) -> None:
    assert not fits(glob, text)


def test_all_parts_of_a_match_must_hold() -> None:
    match = Match(model="gpt-*", consumer="team-*", header="x-tier", value="gold")
    gold = Caller("team-a", facts=Facts(headers={"x-tier": "gold"}))
    assert match.holds("gpt-4", gold)
    assert not match.holds("llama", gold)
    assert not match.holds("gpt-4", Caller("bob", facts=gold.facts))
    assert not match.holds("gpt-4", Caller("team-a", facts=Facts(headers={"x-tier": "tin"})))
    assert not match.holds("gpt-4", Caller("team-a"))
    assert match.keep.headers == {"x-tier"}
    assert not Match().keep.headers


def test_first_route_that_fits_and_has_a_target() -> None:
    routes = [
        Route(Match(model="a*"), {"ab": 1}),
        Route(Match(model="a*"), {"": 2}),
        Route(Match(), {"ab": 3, "b": 4}),
    ]
    assert route("ab", ANONYMOUS, routes) == 1
    assert route("ac", ANONYMOUS, routes) == 2
    assert route("b", ANONYMOUS, routes) == 4
    assert route("c", ANONYMOUS, routes) is None
