"""Which requests may come in, and how often."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.policy.addresses import Networks
from fairlead.policy.caller import Caller
from fairlead.policy.facts import Facts
from fairlead.policy.rules import Refusal, Rule, Rules

HERE = Facts(address="192.0.2.1", method="POST", path="/chat/stream")


def deny(**fields: object) -> Rules:
    return Rules([Rule(name="no", act="deny", **fields)])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rules", "refused"),
    [
        (deny(), True),
        (deny(paths=("/chat/*",)), True),
        (deny(paths=("/v1/*", "/chat/*")), True),
        (deny(paths=("/v1/*",)), False),
        (deny(methods=frozenset({"POST"})), True),
        (deny(methods=frozenset({"GET"})), False),
        (deny(networks=Networks(["192.0.2.0/24"])), True),
        (deny(networks=Networks(["198.51.100.0/24"])), False),
        (deny(consumers=("al*",)), True),
        (deny(consumers=("bob",)), False),
        (deny(headers={"x-team": "*"}), True),
        (deny(headers={"x-team": "red"}), False),
        (deny(query={"debug": "*"}), False),
        (deny(paths=("/chat/*",), methods=frozenset({"GET"})), False),
    ],
)
def test_a_rule_is_for_what_it_names(rules: Rules, refused: bool) -> None:
    facts = Facts(
        address="192.0.2.1", method="POST", path="/chat/stream", headers={"x-team": "blue"}
    )
    assert (rules.refusal(facts, "alice", 0) is not None) == refused


def test_the_first_rule_that_decides_does() -> None:
    rules = Rules(
        [
            Rule(name="office", act="allow", networks=Networks(["192.0.2.0/24"])),
            Rule(name="rest", act="deny"),
        ]
    )
    assert rules.refusal(HERE, "", 0) is None
    assert rules.refusal(Facts(address="198.51.100.1"), "", 0) == Refusal("rest")


def test_what_is_required_is_named() -> None:
    rule = Rule(name="team", act="require", requires_headers={"x-team": "*"})
    refusal = Rules([rule]).refusal(HERE, "", 0)
    assert refusal is not None
    assert "x-team" in refusal.lacks
    assert Rules([rule]).refusal(Facts(headers={"x-team": "a"}), "", 0) is None
    secret = Rule(name="s", act="require", requires_query={"v": "2"})
    refusal = Rules([secret]).refusal(Facts(query={"v": "1"}), "", 0)
    assert refusal is not None
    assert "2" not in refusal.lacks


def test_lists_of_addresses_go_before_all_rules() -> None:
    always = Rule(name="all", act="allow")
    rules = Rules([always], denied=Networks(["192.0.2.0/24"]))
    assert rules.refusal(HERE, "", 0) == Refusal("deny_addresses")
    rules = Rules([always], allowed=Networks(["10.0.0.0/8"]))
    assert rules.refusal(HERE, "", 0) == Refusal("allow_addresses")
    # What comes from no network, as inside a program, is not refused for its address.
    assert rules.refusal(Facts(), "", 0) is None


def test_a_rate_lets_so_many_in_at_once_and_the_next_when_it_is_due() -> None:
    rules = Rules([Rule(name="r", act="rate", rate=3, seconds=3.0)])
    assert [rules.refusal(HERE, "", 10.0) for _ in range(3)] == [None] * 3
    refusal = rules.refusal(HERE, "", 10.0)
    assert refusal is not None
    assert refusal.retry_after == pytest.approx(1.0)
    assert rules.refusal(HERE, "", 11.0) is None
    assert rules.refusal(Facts(address="192.0.2.2"), "", 10.0) is None


def test_of_ipv6_a_whole_network_is_one() -> None:
    rules = Rules([Rule(name="r", act="rate", rate=1, seconds=60.0)])
    assert rules.refusal(Facts(address="2001:db8::1"), "", 0) is None
    assert rules.refusal(Facts(address="2001:db8::2"), "", 0) is not None
    assert rules.refusal(Facts(address="2001:db8:0:1::1"), "", 0) is None


def test_a_change_forgives_nothing() -> None:
    rule = Rule(name="r", act="rate", rate=1, seconds=60.0)
    old, new = Rules([rule]), Rules([rule, Rule(name="other", act="deny", paths=("/x",))])
    assert old.refusal(HERE, "", 0) is None
    new.inherit(old)
    assert new.refusal(HERE, "", 0) is not None


def test_who_is_in_stays_unless_denied_now() -> None:
    rules = deny(networks=Networks(["192.0.2.0/24"]))
    assert rules.bans(Caller("alice", facts=HERE)) == Refusal("no")
    assert rules.bans(Caller("alice", facts=Facts(address="198.51.100.1"))) is None
    rate = Rules([Rule(name="r", act="rate", rate=1)])
    assert rate.bans(Caller("alice", facts=HERE)) is None


@given(
    st.integers(1, 20),
    st.floats(0.1, 100),
    st.lists(st.floats(0, 50), min_size=1, max_size=200),
)
def test_no_window_sees_more_than_twice_the_rate(
    rate: int, seconds: float, gaps: list[float]
) -> None:
    """A bucket that is full lets ``rate`` in at once, and refills as many in a window."""
    rules = Rules([Rule(name="r", act="rate", rate=rate, seconds=seconds)])
    now, let_in = 0.0, []
    for gap in gaps:
        now += gap
        refusal = rules.refusal(HERE, "", now)
        if refusal is None:
            let_in.append(now)
        else:
            assert refusal.retry_after is not None
            assert 0 < refusal.retry_after <= seconds + 1e-6
            # When it says so, there is room, and not a moment before.
            assert rules.refusal(HERE, "", now + refusal.retry_after * 0.99 - 1e-6) is not None
    for start in let_in:
        window = [t for t in let_in if start <= t < start + seconds]
        assert len(window) <= 2 * rate
