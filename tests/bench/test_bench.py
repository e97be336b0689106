"""The workloads run from end to end, small: that they measure at all, not what they measure."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import msgspec
import pytest

from bench import budget, gateway, idle, paced, proc, relay, steps, storm, transports, whole
from bench.chart import svg
from bench.load.body import last_id, text_of, whole_events
from bench.load.h2 import H2Connection
from bench.load.plan import Probe, ProbeResult
from bench.load.storm import fault
from bench.load.wires import PollWire, WebSocketWire
from bench.markdown import put
from bench.options import Options
from bench.processes import load
from bench.table import Check, Row, Table, ratio
from bench.ticker import MARK, TOKEN_CHARS, stamp_of, token_text
from fairlead.framing.websocket import text_frame

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the workloads read Linux's /proc"
)

_NGINX = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
_SMALL = Options(seconds=0.5, warmup=0.2, connections=5, quick=True)


def test_a_server_is_measured_with_all_its_processes() -> None:
    with paced.server("fairlead process", 5, 20) as server:
        assert server.process.pid in server.pids


@pytest.mark.parametrize("transport", transports.ALL)
def test_paced_counts_what_comes_over_each_transport(transport: str) -> None:
    result = paced.measure("fairlead process", 5, 20.0, _SMALL, transport)
    assert result.tokens > 0
    assert result.lost == 0
    assert result.p50 is not None
    assert result.rss > 0
    assert result.bytes_per_token > TOKEN_CHARS
    assert (result.sent_per_token > 0) == (transport == transports.POLL)


def test_a_budgets_decision_is_measured() -> None:
    table = budget.run(_SMALL)
    assert all(row.value for row in table.rows)
    assert table.checks


def test_relaying_in_step_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", _NGINX)
    monkeypatch.setattr(steps, "_QUESTIONS", 4)
    monkeypatch.setattr(steps, "_EVENTS", 20)
    table = steps.run(_SMALL)
    assert not table.missing
    assert all(row.value for row in table.rows)
    assert {"fairlead process, Responses", "fairlead process, Realtime"} <= {
        row.server for row in table.rows
    }
    judged = [check.bar.partition(":")[0] for check in table.checks]
    assert judged[-3:] == ["OpenAI", "Responses", "Realtime"]


def test_a_realtime_session_is_relayed_and_measured() -> None:
    with relay.model_server() as upstream, relay.fairlead(upstream.port, "process") as running:
        asked = relay.realtime(running.port)
        result = relay.stream(running, asked, 5, _SMALL)
        assert result.tokens > 0
        assert result.lost == 0
        times = relay.first(asked, upstream.port, 2, _SMALL).times
    assert times["through"][0] > 0


def test_dialects_are_judged_by_the_native_wire() -> None:
    costs = {"fairlead process": 2.0, "fairlead process, Realtime": 2.4}
    assert [(check.found, check.met) for check in relay.dialects(costs)] == [("1.20 ×", True)]
    costs |= {"fairlead process, Realtime": 2.6, "fairlead process, OpenAI": 2.1}
    assert [check.met for check in relay.dialects(costs)] == [False, False]
    assert relay.dialects({"fairlead process, Realtime": 1.0}) == []


def test_readers_of_one_stream_are_shown_the_same_tokens() -> None:
    result = paced.measure("fairlead process", 5, 20.0, _SMALL, transports.WEBSOCKET, shared=True)
    assert result.tokens > 0
    assert result.lost == 0


@pytest.mark.parametrize("transport", transports.ALL)
def test_a_probe_resumes_after_the_first_event(transport: str) -> None:
    with paced.server("fairlead process", 1, 100) as server:
        plan = Probe(transport=transport, port=server.port, headers={"X-A": "b"}, rounds=2)
        result = load(plan, ProbeResult, 10)
    assert result.wrong == 0
    assert result.opened[0] > 0
    assert result.resumed[0] > 0
    # TCP and the request; over WebSocket the upgrade; when polling, the question by itself.
    assert result.turns == {transports.WEBSOCKET: 3, transports.POLL: 4}.get(transport, 2)
    assert result.gzipped < result.plain


@pytest.mark.skipif(shutil.which("nginx", path=_NGINX) is None, reason="nginx speaks HTTP/2 here")
def test_whole_answers_and_streamed_ones_come_to_their_end() -> None:
    table = whole.run(Options(seconds=0.5, warmup=0.1, connections=3, quick=True))
    assert not table.missing
    firsts = {row.server: row.value or 0 for row in table.rows}
    assert len(firsts) == 4
    for http2 in ("", "/2"):
        streamed = min(v for name, v in firsts.items() if "SSE" in name and http2 in name)
        assert streamed < min(v for name, v in firsts.items() if "whole" in name)


@pytest.mark.parametrize(("key", "after"), [("", ""), ("k", "11k-12")])
def test_polling_reads_from_the_start_or_joins_the_others(key: str, after: str) -> None:
    wire = PollWire(transports.ask(transports.POLL, 80, key=key))
    document = '{"text":"a","position":"11k-12"}'
    head = f"HTTP/1.1 200 OK\r\nfairlead-stream: s\r\ncontent-length: {len(document)}\r\n\r\n"
    # However it is cut.
    said = [wire.answer(bytes((byte,))) for byte in (head + document).encode()]
    assert not any(said[:-1])
    assert said[-1].startswith(f"GET /streams/s?wait=25&after={after} HTTP/1.1\r\n".encode())
    assert b"Idempotency-Key" not in said[-1]
    nothing = b"HTTP/1.1 204 No Content\r\nfairlead-stream: s\r\nfairlead-position: 11k-13\r\n\r\n"
    assert b"after=11k-13 " in wire.answer(nothing)
    assert wire.turns == 3


def test_a_websocket_says_its_message_when_it_is_open() -> None:
    wire = WebSocketWire(transports.ask(transports.WEBSOCKET, 80))
    assert b"\r\nUpgrade: websocket\r\n" in wire.begin()
    assert not wire.answer(b"HTTP/1.1 101 Switching Protocols\r\n")
    said = wire.answer(b"upgrade: websocket\r\n\r\n")
    # Text, whole, masked (RFC 6455, section 5.2).
    assert said[0] == 0x81
    assert said[1] & 0x80
    assert said.endswith(b'"orphan_window": 2.0}')
    assert not wire.listening


def test_headers_that_were_sent_before_are_sent_as_one_byte() -> None:
    compressor = H2Connection()
    first = compressor.compressed([("accept", "text/event-stream"), ("x", "y" * 200)])
    assert first[:1] == b"\x40"
    assert compressor.compressed([("x", "y" * 200), ("accept", "text/event-stream")]) == b"\xbe\xbf"


def test_a_storm_loses_and_repeats_nothing() -> None:
    table = storm.run(_SMALL)
    assert not table.missing
    exact = [check for check in table.checks if "lost" in check.bar]
    assert len(exact) == 2
    assert all(check.met for check in exact), exact


def test_a_guarded_server_is_measured_beside_an_open_one() -> None:
    table = gateway.run(_SMALL)
    assert not table.missing
    assert len(table.rows) == len(table.checks) == 2


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
    stamp = stamp_of(17.0)
    assert fault("".join(token_text(stamp, number) for number in numbers)) == found


def test_a_text_with_something_between_is_found() -> None:
    stamp = stamp_of(17.0)
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


@pytest.mark.parametrize("size", [1, 87, 126, 127, 4096])
def test_a_token_is_counted_once_however_long_its_frame(size: int) -> None:
    # 126 in a frame's head, which says that two bytes of length follow, is a tilde.
    text = token_text(stamp_of(17.0), 1)
    assert text_frame((text + "x" * size).encode()).count(MARK) == 1


def test_tables_and_charts_find_their_places_in_a_document(tmp_path: Path) -> None:
    document = tmp_path / "choosing.md"
    document.write_text("a\n<!-- bench: work -->\nold\n<!-- end -->\nb\n<!-- end -->\n")
    row = Row("SSE", ["1,000", "–"], 2.0)
    check = Check("at most 1", "2", met=False)
    table = Table("work", "much of it", ["n", "m"], [row], "µs", [check], [], ["n", "m"])
    other = Table("other", "", [], [], "")
    for _ in range(2):
        assert put(document, [table, other], "here", "make bench") == ["other"]
        text = document.read_text()
        assert text.startswith("a\n<!-- bench: work -->\nMuch of it:\n\n|  | n | m |\n")
        assert text.endswith("*here; `make bench`*\n<!-- end -->\nb\n<!-- end -->\n")
        assert "| SSE | 1,000 | – |\n\nMissed: at most 1 (2).\n" in text
        assert "old" not in text
    picture = (tmp_path / "charts/work.svg").read_text()
    # The page, the value, and the one column that holds a number.
    assert picture.count("<rect") == 3
    assert ">1,000</text>" in picture


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
