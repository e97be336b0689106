"""The workloads run from end to end, small: that they measure at all, not what they measure."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec
import pytest

from bench import idle, paced, proc, storm
from bench.chart import svg
from bench.load.body import last_id, text_of, whole_events
from bench.load.storm import fault
from bench.options import Options
from bench.table import Check, Row, Table, ratio
from bench.ticker import MARK, TOKEN_CHARS, token_text

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the workloads read Linux's /proc"
)

_SMALL = Options(seconds=0.5, warmup=0.2, connections=5, quick=True)


def test_paced_reads_every_server_and_counts_what_it_sent() -> None:
    with paced.server("fairlead process", 5, 20) as server:
        assert server.process.pid in server.pids
    result = paced.measure("fairlead process", 5, 20.0, _SMALL)
    assert result.tokens > 0
    assert result.lost == 0
    assert result.p50 is not None
    assert result.rss > 0
    assert result.bytes_per_token > TOKEN_CHARS


def test_a_storm_loses_and_repeats_nothing() -> None:
    table = storm.run(_SMALL)
    assert not table.missing
    exact = [check for check in table.checks if "lost" in check.bar]
    assert len(exact) == 2
    assert all(check.met for check in exact), exact


def test_idle_readers_are_attached_and_weighed() -> None:
    table = idle.run(_SMALL)
    assert not table.missing
    assert {row.server for row in table.rows} >= {"fairlead process", "uvicorn raw ASGI"}


@pytest.mark.parametrize(
    ("numbers", "found"),
    [
        ([1, 2, 3], ""),
        ([1, 3], "token 3 stands where token 2 belongs"),
        ([1, 2, 2], "token 2 stands where token 3 belongs"),
        ([], "no tokens"),
    ],
)
def test_a_text_with_a_fault_is_found(numbers: list[int], found: str) -> None:
    stamp = f"{MARK.decode()}{17:016d} "
    assert fault("".join(token_text(stamp, number) for number in numbers)) == found


def test_a_text_with_something_between_is_found() -> None:
    stamp = f"{MARK.decode()}{17:016d} "
    text = token_text(stamp, 1) + "x" + token_text(stamp, 2)
    assert fault(text) == f"{2 * TOKEN_CHARS + 1} characters do not make 2 tokens"


def test_bodies_are_read_up_to_their_last_whole_event() -> None:
    body = b'id: s.1\nevent: token\ndata: {"token":"a"}\n\nid: s.2\nevent: token\ndata: {"tok'
    whole = whole_events(body)
    assert last_id(whole) == "s.1"
    assert text_of(whole) == "a"


def test_a_process_has_time_memory_and_descriptors() -> None:
    me = os.getpid()
    assert proc.cpu_seconds([me]) > 0
    assert proc.rss([me]) > 0
    assert proc.pss([me]) > 0
    assert proc.descriptors(me) > 2
    assert me in proc.family(me)


def test_figures_become_bars_and_ratios(tmp_path: Path) -> None:
    table = Table(
        "work",
        "a <kind> of it",
        ["n"],
        [Row("fairlead", ["1"], 1.0), Row("other", ["2"], 2.0)],
        "µs",
        [Check("at most 2", "1", met=True)],
    )
    picture = svg([table], "here & now")
    assert "a &lt;kind&gt; of it" in picture
    assert "here &amp; now" in picture
    assert picture.count("<rect") == 3
    assert ratio(3.0, 2.0) == "1.50"
    assert ratio(3.0, None) == "–"
    assert msgspec.json.decode(msgspec.json.encode(table), type=Table) == table
