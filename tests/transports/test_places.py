"""Places for WebSockets, by consumer."""

from __future__ import annotations

import pytest

from fairlead.errors import TooMany
from fairlead.transports.places import Places


def test_one_consumer_takes_no_more_than_its_own_and_leaves_room_again() -> None:
    places = Places(2)
    with places.take("ann"), places.take("bob"):
        with places.take("ann"), pytest.raises(TooMany, match="2 of your WebSockets are open"):
            places.take("ann")
        with places.take("ann"):
            pass


def test_who_becomes_another_takes_a_place_of_theirs() -> None:
    places = Places(1)
    with places.take("ann") as place:
        place.move("ann")
        with places.take("bob") as other:
            with pytest.raises(TooMany):
                place.move("bob")
            with pytest.raises(TooMany):  # it has kept its own
                places.take("ann")
            other.move("eve")
            place.move("bob")
            with places.take("ann"):
                pass
    with places.take("ann"), places.take("bob"), places.take("eve"):
        pass


def test_a_cap_may_come_and_go_and_sends_nobody_away() -> None:
    places = Places()
    with places.take("ann"), places.take("ann"):
        places.each = 1
        with pytest.raises(TooMany):
            places.take("ann")
        places.each = 0
        with places.take("ann"):
            pass
