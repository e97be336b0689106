"""What the writer's thread tells the loop's thread after a commit."""

from __future__ import annotations

from fairlead.journal.log import Head
from fairlead.journal.position import Epoch
from fairlead.stores.sqlite.slates import Slate


class News:
    """What has become visible.

    ``records``: (id, head or None if only its tail moved, first offset, records) per stream;
    ``written``: streams that are written here from now on; ``left``: those that are not any more;
    ``gone``: deleted ones; ``signals``: (owner, id, name); ``anything``: more may have changed than
    is said here; ``slates``: new ones for this process; ``ready``: (id, number, epoch, tail) of
    streams whose next records may be noted on a slate.
    """

    __slots__ = ("anything", "gone", "left", "ready", "records", "signals", "slates", "written")

    def __init__(self) -> None:
        self.records: list[tuple[str, Head | None, int, list[bytes]]] = []
        self.written: list[str] = []
        self.left: list[str] = []
        self.slates: list[Slate] = []
        self.ready: list[tuple[str, int, Epoch, int]] = []
        self.gone: list[str] = []
        self.signals: list[tuple[str, str, str]] = []
        self.anything = False

    def __bool__(self) -> bool:
        return bool(
            self.records
            or self.written
            or self.left
            or self.gone
            or self.signals
            or self.slates
            or self.anything
        )
