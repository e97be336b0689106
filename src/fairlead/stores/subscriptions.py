"""Who is to be told: watchers of streams, and writers that take signals. Loop thread only."""

from __future__ import annotations

from collections.abc import Callable, Iterable


def _nothing(*_: object) -> None:
    """Stands where a cancelled callback stood, which may be called once more in the same round."""


class Watch:
    """One watcher of one stream."""

    __slots__ = ("_wakes", "id", "wake")

    def __init__(self, wakes: Wakes, id: str, wake: Callable[[], None]) -> None:
        self._wakes = wakes
        self.id = id
        self.wake = wake

    def cancel(self) -> None:
        self.wake = _nothing
        self._wakes.remove(self)


class Wakes:
    """The watchers of each stream."""

    def __init__(self, on_last: Callable[[str], None] = _nothing) -> None:
        self._by_stream: dict[str, dict[Watch, None]] = {}
        self._on_last = on_last

    def add(self, id: str, wake: Callable[[], None]) -> Watch:
        watch = Watch(self, id, wake)
        self._by_stream.setdefault(id, {})[watch] = None
        return watch

    def remove(self, watch: Watch) -> None:
        watches = self._by_stream.get(watch.id)
        if watches is not None and watches.pop(watch, self) is None and not watches:
            del self._by_stream[watch.id]
            self._on_last(watch.id)

    def wake(self, ids: Iterable[str]) -> None:
        """Wake every watcher of these streams once."""
        by_stream = self._by_stream
        for id in ids:
            watches = by_stream.get(id)
            if watches is not None:
                # A copy: a watcher may cancel itself or another, or watch anew.
                for watch in tuple(watches):
                    watch.wake()

    def wake_all(self) -> None:
        self.wake(tuple(self._by_stream))

    def __contains__(self, id: str) -> bool:
        return id in self._by_stream

    def __len__(self) -> int:
        return len(self._by_stream)


class SignalSubscription:
    """One writer that takes signals."""

    __slots__ = ("_hub", "call", "owner")

    def __init__(self, hub: SignalHub, owner: str, call: Callable[[str, str], None]) -> None:
        self._hub = hub
        self.owner = owner
        self.call = call

    def cancel(self) -> None:
        self.call = _nothing
        self._hub.remove(self)


class SignalHub:
    """The writers that take signals, by owner."""

    def __init__(self) -> None:
        self._by_owner: dict[str, dict[SignalSubscription, None]] = {}

    def add(self, owner: str, call: Callable[[str, str], None]) -> SignalSubscription:
        subscription = SignalSubscription(self, owner, call)
        self._by_owner.setdefault(owner, {})[subscription] = None
        return subscription

    def remove(self, subscription: SignalSubscription) -> None:
        there = self._by_owner.get(subscription.owner)
        if there is not None:
            there.pop(subscription, None)
            if not there:
                del self._by_owner[subscription.owner]

    def send(self, owner: str, id: str, name: str) -> None:
        """Tell ``owner`` of a signal to one of its streams, if it listens here."""
        for subscription in tuple(self._by_owner.get(owner, ())):
            subscription.call(id, name)

    def __len__(self) -> int:
        return len(self._by_owner)
