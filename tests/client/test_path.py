"""What a client remembers of the path to its server."""

from __future__ import annotations

from fairlead.client.path import FIRST_PENALTY, LONGEST_PENALTY, Path


def test_what_is_blocked_is_gone_round_and_tried_again_ever_later() -> None:
    now = 100.0
    path = Path(("websocket", "sse", "poll"), lambda: now)
    assert path.choose() == "websocket"
    assert path.has_next("websocket")
    assert not path.has_next("poll")
    penalty = FIRST_PENALTY
    for _ in range(6):
        for _ in range(3):  # by three answers at once
            path.blocks("websocket")
        assert path.choose() == "sse"
        now += penalty - 1
        assert path.choose() == "sse"
        now += 1
        assert path.choose() == "websocket"
        assert path.suspects("websocket")
        penalty = min(2 * penalty, LONGEST_PENALTY)
    path.works("websocket")
    assert not path.suspects("websocket")
    path.blocks("websocket")
    now += FIRST_PENALTY
    assert path.choose() == "websocket"


def test_the_last_one_is_never_given_up() -> None:
    path = Path(("sse", "poll"), lambda: 0.0)
    path.blocks("sse")
    path.blocks("poll")
    assert path.choose() == "poll"
