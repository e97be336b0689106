"""What other processes have committed to the file, for those who watch here."""

from __future__ import annotations

import apsw

from fairlead.journal.log import Head
from fairlead.stores.sqlite import heads
from fairlead.stores.sqlite.connection import value
from fairlead.stores.sqlite.hot import HotStreams
from fairlead.stores.sqlite.news import News
from fairlead.stores.sqlite.ticks import decode_ids, decode_tick


class Follower:
    """Reads on the writer's connection, each time from where it left off."""

    def __init__(self, db: apsw.Connection, number: int, hot: HotStreams) -> None:
        self._db = db
        self._number = number
        self._hot = hot
        self._tick = 0
        self._signal = 0

    def start(self) -> None:
        """Begin with what comes from now on."""
        self._tick = self._last_tick()
        self._signal = self._db.execute("SELECT ifnull(max(seq), 0) FROM signals").get

    def _last_tick(self) -> int:
        last: int = value(self._db, "SELECT ifnull(max(seq), 0) FROM ticks")
        return max(last, self._swept())

    def _swept(self) -> int:
        swept: int = value(self._db, "SELECT upto FROM sweeps")
        return swept

    def follow(self) -> News:
        """What has been committed by others since the last call."""
        news = News()
        self._db.execute("BEGIN")
        try:
            if self._swept() > self._tick:
                # Ticks may be gone that were not read here.
                news.anything = True
                self._tick = self._last_tick()
            else:
                self._read_ticks(news)
            for seq, writer, id, owner, name in self._db.execute(
                "SELECT seq, writer, id, owner, name FROM signals WHERE seq > ? ORDER BY seq",
                (self._signal,),
            ):
                self._signal = seq
                if writer != self._number:
                    news.signals.append((owner, id, name))
        finally:
            self._db.execute("COMMIT")
        return news

    def _read_ticks(self, news: News) -> None:
        # The set of watched streams belongs to the loop's thread; asking it whether it holds an
        # id is one step, and a watch that begins meanwhile is woken by nothing committed before.
        hot = self._hot
        heads_read: dict[str, Head | None] = {}
        for seq, writer, changed, data in self._db.execute(
            "SELECT seq, writer, changed, data FROM ticks WHERE seq > ? ORDER BY seq",
            (self._tick,),
        ):
            self._tick = seq
            if writer == self._number:
                continue
            entries = {id: entry for id, entry in decode_tick(data).items() if id in hot}
            touched = [id for id in decode_ids(changed) if id in hot]
            # What another process changed is not (or no longer) written here.
            news.left += touched
            touched += [id for id in entries if id not in heads_read and not hot.knows(id)]
            for id in touched:
                row = heads.find(self._db, id)
                heads_read[id] = None
                if row is None or row.deleted:
                    news.gone.append(id)
                    continue
                terms = heads.terms(self._db, row.num)
                heads_read[id] = Head(terms, row.first, row.tail, bool(row.closed))
            for id, (at, records) in entries.items():
                head = heads_read.get(id)
                if head is not None and not head.closed:
                    head = Head(head.terms, head.first, at + len(records))
                news.records.append((id, head, at, records))
            for id in touched:
                head = heads_read[id]
                if id not in entries and head is not None:
                    if head.closed:
                        news.records.append((id, head, head.tail, []))
                    else:
                        # Its row does not say where it ends, and this tick neither.
                        news.gone.append(id)
