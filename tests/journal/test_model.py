"""Readers of one log, whatever happens to it: each has read exactly what the log holds, once and in
order, or it was told that it has not.

The log is the pure rules of :mod:`fairlead.journal.log` over a plain list of records. It is written
by writers that come and go, repeat what they are unsure of, and speak up after they have been
superseded; it is trimmed, closed, and loses its newest commits. Readers attach, read in pieces
(some merge what they read), drop off and come back with the text of their last position.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fairlead.events.codec import decode, encode
from fairlead.events.merge import merge
from fairlead.events.model import Token
from fairlead.journal import log
from fairlead.journal.log import Accepted, At, Closed, Fenced, Gap, Gone, Head, Lost
from fairlead.journal.position import Epoch, Position, parse_position

READERS = 3
whichever = st.integers(0, READERS - 1)


class Reader:
    """A client. ``text`` is what it shows; it begins with the record ``base``."""

    def __init__(self, *, merges: bool) -> None:
        self.merges = merges
        self.text = ""
        self.base = 0
        self.place: str | None = None
        self.offset: int | None = None  # where its connection stands, None while it has none

    def restart(self, base: int) -> None:
        self.text = ""
        self.base = self.offset = base
        self.place = None


class Writer:
    """A generation: it knows its epoch and what it has handed over."""

    def __init__(self, epoch: Epoch, tail: int) -> None:
        self.epoch = epoch
        self.first = tail
        self.written: list[bytes] = []

    @property
    def tail(self) -> int:
        return self.first + len(self.written)


class Log(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.head = Head()
        self.records: list[bytes] = []  # from offset 0, though the log may be trimmed
        self.commits: list[tuple[Head, int]] = [(self.head, 0)]
        self.words = 0
        self.suffixes = 0
        self.writer: Writer | None = None
        self.superseded: list[Writer] = []
        self.readers = [Reader(merges=i % 2 == 1) for i in range(READERS)]

    def commit(self, head: Head) -> None:
        assert head.tail == len(self.records)
        self.head = head
        self.commits.append((head, len(self.records)))

    # -- writers

    @rule()
    def acquire(self) -> None:
        if self.writer is not None:
            self.superseded.append(self.writer)
        # As good as random: never the same twice.
        self.suffixes += 1
        head, epoch = log.acquire(self.head, f"{self.suffixes:06d}")
        self.commit(head)
        self.writer = Writer(epoch, head.tail)

    @rule(count=st.integers(1, 4), lost_answer=st.booleans(), luck=st.integers(0, 40))
    def append(self, count: int, lost_answer: bool, luck: int) -> None:
        if self.writer is None:
            self.acquire()
        assert self.writer is not None
        self._write(self.writer, count, lost_answer, luck == 23)

    @rule(count=st.integers(0, 4), lost_answer=st.booleans(), data=st.data())
    def append_though_superseded(self, count: int, lost_answer: bool, data: st.DataObject) -> None:
        if self.superseded:
            before = self.head
            self._write(data.draw(st.sampled_from(self.superseded)), count, lost_answer, False)
            assert self.head == before

    @rule(back=st.integers(0, 5))
    def repeat(self, back: int) -> None:
        """Say again what was said before."""
        if self.writer is not None:
            writer = self.writer
            before = self.head
            at = max(writer.first, writer.tail - back)
            self._append(writer, at, writer.written[at - writer.first :], False)
            assert self.head == before

    @rule(beyond=st.integers(1, 5))
    def leave_a_hole(self, beyond: int) -> None:
        if self.writer is not None:
            verdict = log.append(self.head, self.writer.epoch, self.head.tail + beyond, 1)
            assert verdict == Gap(self.head.tail)

    def _write(self, writer: Writer, count: int, lost_answer: bool, close: bool) -> None:
        records = []
        for _ in range(count):
            self.words += 1
            records.append(encode(Token(at=self.words, text=f"{self.words} ")))
        accepted = self._append(writer, writer.tail, records, close)
        if lost_answer:
            # The writer does not know whether it was taken in, so it says it again.
            assert self._append(writer, writer.tail, records, close) == accepted
        if accepted:
            writer.written += records

    def _append(self, writer: Writer, at: int, records: list[bytes], close: bool) -> bool:
        verdict = log.append(self.head, writer.epoch, at, len(records), close=close)
        if isinstance(verdict, Accepted):
            self.records += records[verdict.skip :]
            self.commit(verdict.head)
            return True
        assert verdict in (Fenced(self.head.epoch), Closed(self.head.tail))
        return False

    # -- what befalls the log

    @rule(more=st.integers(1, 3))
    def trim(self, more: int) -> None:
        self.head = log.trim(self.head, self.head.first + more)

    @rule(back=st.integers(1, 4))
    def lose_a_tail(self, back: int) -> None:
        """The store goes back to an earlier commit; its writer and its connections are gone."""
        del self.commits[max(1, len(self.commits) - back) :]
        head, kept = self.commits[-1]
        del self.records[kept:]
        self.head = log.trim(head, self.head.first)
        self.writer = None
        self.superseded.clear()
        for reader in self.readers:
            reader.offset = None

    # -- readers

    @rule(which=whichever)
    def attach(self, which: int) -> None:
        reader = self.readers[which]
        after: Position | None = None if reader.place is None else parse_position(reader.place)
        match log.locate(self.head, after):
            case At(offset, step):
                assert step == 0
                if after is None:
                    reader.restart(0)
                reader.offset = offset
            case Lost():
                # What it saw is not what the log holds, or it cannot be known: it begins again.
                reader.restart(self.head.first)
            case Gone(first):
                assert first == self.head.first > (0 if after is None else after.offset)
                reader.restart(first)

    @rule(which=whichever, count=st.integers(1, 5))
    def read(self, which: int, count: int) -> None:
        reader = self.readers[which]
        if reader.offset is None or reader.offset < self.head.first:
            self.attach(which)
            assert reader.offset is not None
        batch = self.records[reader.offset : reader.offset + count]
        events = [decode(record) for record in batch]
        for event in merge(events) if reader.merges else events:
            assert isinstance(event, Token)
            reader.text += event.text
        reader.offset += len(batch)
        place = log.position(self.head, reader.offset)
        reader.place = None if place is None else str(place)

    @rule(which=whichever)
    def detach(self, which: int) -> None:
        self.readers[which].offset = None

    # -- what always holds

    @invariant()
    def readers_have_what_the_log_holds(self) -> None:
        for reader in self.readers:
            if reader.offset is not None:
                assert reader.text == self._text(reader.base, reader.offset)

    @invariant()
    def a_place_is_good_for_exactly_as_long_as_what_was_seen_stands(self) -> None:
        for reader in self.readers:
            if reader.place is None or not reader.text:
                continue
            place = parse_position(reader.place)
            found = log.locate(self.head, place)
            stands = reader.text == self._text(reader.base, place.offset)
            if isinstance(found, Gone):
                assert stands
                assert place.offset < self.head.first
            else:
                assert isinstance(found, At) == stands
                assert place.offset >= self.head.first or not stands

    @invariant()
    def every_word_stands_once_and_in_order(self) -> None:
        words = self._text(0, len(self.records)).split()
        assert words == sorted(set(words), key=int)

    @invariant()
    def epochs_rise(self) -> None:
        epochs = [term.epoch.counter for term in self.head.terms]
        assert epochs == list(range(1, len(epochs) + 1))
        firsts = [term.first for term in self.head.terms]
        assert firsts == sorted(firsts)

    def _text(self, start: int, end: int) -> str:
        events = [decode(record) for record in self.records[start:end]]
        return "".join(event.text for event in events if isinstance(event, Token))


TestLog = Log.TestCase
TestLog.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
