"""The newest records of streams that are watched or written here, in memory. Loop thread only.

This is a cache of what is committed: it answers :meth:`Store.recent` without a thread switch. It
may lag behind another process's commits until those have been followed, and never runs ahead.
"""

from __future__ import annotations

from fairlead.journal.log import Head
from fairlead.ports.store import Batch
from fairlead.stores.common import bounded

#: Bytes kept of one stream, and of all together.
STREAM_BYTES = 64 * 1024
TOTAL_BYTES = 64 * 1024 * 1024


class Hot:
    """One stream: the records from ``base`` on."""

    __slots__ = ("base", "bytes", "head", "records", "writing")

    def __init__(self, *, writing: bool) -> None:
        self.head: Head | None = None
        self.base = 0
        self.records: list[bytes] = []
        self.bytes = 0
        self.writing = writing


class HotStreams:
    """The streams in memory, oldest first."""

    def __init__(self, stream_bytes: int = STREAM_BYTES, total_bytes: int = TOTAL_BYTES) -> None:
        self._streams: dict[str, Hot] = {}
        self._stream_bytes = stream_bytes
        self._total_bytes = total_bytes
        self.bytes = 0

    def __contains__(self, id: str) -> bool:
        return id in self._streams

    def knows(self, id: str) -> bool:
        """Whether the stream is kept and its head is known."""
        hot = self._streams.get(id)
        return hot is not None and hot.head is not None

    def ids(self) -> list[str]:
        """Which streams are kept."""
        return list(self._streams)

    def keep(self, id: str, *, writing: bool) -> None:
        """Keep the stream from now on."""
        hot = self._streams.get(id)
        if hot is None:
            self._streams[id] = Hot(writing=writing)
        else:
            hot.writing = hot.writing or writing

    def drop(self, id: str) -> None:
        """Keep the stream no longer."""
        hot = self._streams.pop(id, None)
        if hot is not None:
            self.bytes -= hot.bytes

    def clear(self) -> None:
        """Keep nothing."""
        self._streams.clear()
        self.bytes = 0

    def is_written(self, id: str) -> bool:
        """Whether the stream is kept because it is written here."""
        hot = self._streams.get(id)
        return hot is not None and hot.writing

    def stop_writing(self, id: str) -> None:
        """The stream is not written here any more."""
        hot = self._streams.get(id)
        if hot is not None:
            hot.writing = False

    def extend(self, id: str, head: Head | None, at: int, records: list[bytes]) -> None:
        """Take in committed records. What is known already is left out, so that the same news may
        come twice, or an older head after a newer one; ``head`` None leaves all but the tail."""
        hot = self._streams.get(id)
        if hot is None:
            return
        known = hot.head
        if head is None:
            if known is None:
                return
            head = Head(known.terms, known.first, max(known.tail, at + len(records)), known.closed)
        elif known is not None and _older(head, known):
            head = known
        hot.head = head
        if not records:
            return
        tail = hot.base + len(hot.records)
        if at > tail or not hot.records:
            self.bytes -= hot.bytes
            hot.base = at
            hot.records = list(records)
            added = sum(map(len, records))
            hot.bytes = added
        elif at == tail:
            hot.records += records
            added = len(records[0]) if len(records) == 1 else sum(map(len, records))
            hot.bytes += added
        elif at + len(records) > tail:
            new = records[tail - at :]
            hot.records += new
            added = sum(map(len, new))
            hot.bytes += added
        else:
            return
        self.bytes += added
        if hot.bytes > self._stream_bytes:
            self._shorten(hot)
        if self.bytes > self._total_bytes:
            self._make_room()

    def forget(self, id: str) -> None:
        """Nothing is known of the stream for certain any more."""
        hot = self._streams.get(id)
        if hot is not None:
            self.bytes -= hot.bytes
            hot.head = None
            hot.records = []
            hot.bytes = 0

    def batch(self, id: str, offset: int, max_bytes: int) -> Batch | None:
        """The records from ``offset`` on, or None if they are not here."""
        hot = self._streams.get(id)
        if hot is None:
            return None
        head = hot.head
        if head is None:
            return None
        index = offset - hot.base
        records = hot.records
        if index < 0 or offset < head.first or hot.base + len(records) != head.tail:
            return Batch(head, offset, []) if offset == head.tail else None
        records = records[index:]
        if hot.bytes > max_bytes:
            records = bounded(records, max_bytes)
        return Batch(head, offset, records)

    def _shorten(self, hot: Hot) -> None:
        """Drop the older half, so that this is rare; the newest record stays."""
        keep = self._stream_bytes // 2
        records = hot.records
        cut = 0
        gone = 0
        while cut < len(records) - 1 and hot.bytes - gone > keep:
            gone += len(records[cut])
            cut += 1
        del records[:cut]
        hot.base += cut
        hot.bytes -= gone
        self.bytes -= gone

    def _make_room(self) -> None:
        """Drop the records of the streams kept longest."""
        for id, hot in list(self._streams.items()):
            if self.bytes <= self._total_bytes * 3 // 4:
                break
            self.bytes -= hot.bytes
            hot.base += len(hot.records)
            hot.records = []
            hot.bytes = 0
            # To the end, so that the next round begins with others.
            self._streams[id] = self._streams.pop(id)


def _older(a: Head, b: Head) -> bool:
    """Whether ``a`` is an earlier state of the log than ``b``: every part of a head only rises."""
    return (
        a.tail < b.tail
        or len(a.terms) < len(b.terms)
        or a.first < b.first
        or (b.closed and not a.closed)
    )
