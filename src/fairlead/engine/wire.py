"""What the engine asks of a reader's wire: how events become bytes."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

from fairlead.events.meta import GenerationMeta
from fairlead.events.model import Event, Unknown


class Wire(Protocol):
    """A dialect and its framing, for one stream. Pure: the state is a value, and neither it nor the
    bytes depend on who reads. ``transport`` names what carries them, such as ``sse``, for counts.

    ``key``: readers whose wires have equal keys get equal bytes, made once for all of them; None
    where bytes may not be shared. ``mergeable``: adjacent deltas may be joined when a reader is
    behind. ``remembers``: the state depends on the events before, not on how many they were alone;
    a reader that comes later has them folded first, unseen, from ``begin(0)``. What such a wire has
    shown it cannot take back: a position whose records were lost is gone for it.
    """

    transport: str
    key: Hashable | None
    mergeable: bool
    remembers: bool

    def begin(self, offset: int) -> Any:
        """The state of a reader that has ``offset`` records behind it."""
        ...

    def step(self, state: Any, event: Event | Unknown, position: bytes) -> tuple[Any, bytes]:
        """The bytes of one event, shown under ``position``; and the state after it."""
        ...

    def keeps(self, state: Any) -> bool:
        """Whether :meth:`flush` would give bytes."""
        ...

    def flush(self, state: Any) -> tuple[Any, bytes]:
        """The bytes of what the wire has kept back (batching), if any."""
        ...


@runtime_checkable
class NumberedWire(Wire, Protocol):
    """A wire that remembers and numbers its frames, several of which may be made of one record: a
    reader may go on between any two."""

    def number(self, state: Any) -> int:
        """How many frames there were before."""
        ...

    def rest(
        self, state: Any, event: Event | Unknown, position: bytes, shown: int
    ) -> tuple[Any, bytes]:
        """As :meth:`Wire.step`, without the first ``shown`` of the event's frames."""
        ...


#: A short way past :meth:`Wire.step` for tokens of the main part that have nothing but their text,
#: which nearly all events are: made of the state, the text as a JSON string (see
#: :func:`fairlead.events.codec.said`) and the position, and giving what ``step`` would; None where
#: it must be asked.
Short = Callable[[Any, bytes, bytes], tuple[Any, bytes] | None]


def short(wire: Wire) -> Short:
    """The short way of a wire, its method ``short``. Wires need not have one."""
    return cast("Short", getattr(wire, "short", _none))


def _none(state: Any, said: bytes, position: bytes) -> None:
    return None


W = TypeVar("W", bound=Wire)

#: Makes the wire of a stream.
WireFactory = Callable[[str, GenerationMeta], W]
