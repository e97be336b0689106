"""Events and errors as messages of proto/fairlead/v1."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fairlead import errors
from fairlead.dialects import native
from fairlead.events.meta import GenerationMeta
from fairlead.events.model import Media, Part, Progress, Source, Sources, Token, Unknown, Usage
from fairlead.transports.rpc_wire import CODES, RpcWire, failure, messages
from fairlead.v1.answers_pb import Event
from tests.events.strategies import deltas, texts

ROOT = Path(__file__).parents[2]
STREAM = "5h2m7" + "0" * 21
META = GenerationMeta(
    provider="upstream",
    model="scripted",
    conversation="c",
    question="q",
    message="m",
    orphan_window=60.0,
)
AT = b"11k3f9az-13"


def shown(*events: Any, offset: int = 1) -> list[Event]:
    wire = RpcWire(STREAM, META)
    state, data = wire.begin(offset), b""
    for event in events:
        state, more = wire.step(state, event, AT)
        data += more
    return [Event.from_binary(message) for message in messages(data)]


@given(st.lists(texts))
def test_messages_come_apart_as_they_were_put_together(pieces: list[str]) -> None:
    got = shown(*(Token(0, piece) for piece in pieces))
    assert [event.event.value.text for event in got] == pieces  # type: ignore[union-attr]
    assert {(event.stream, event.position) for event in got} <= {(STREAM, AT.decode())}


@given(deltas)
def test_what_has_no_message_of_its_own_is_the_json_of_the_native_dialect(event: Any) -> None:
    (got,) = shown(event)
    (frame,) = native.step(native.State(native.Options(), None, STREAM), event)[1]
    assert got.type == frame.event.decode()
    assert got.event is not None
    if isinstance(event, Token):
        assert (got.event.value.text, got.event.value.part) == (  # type: ignore[union-attr]
            event.text,
            event.part,
        )
    else:
        assert got.event.field == "json"
        assert got.event.value == frame.data.decode()


def test_every_other_kind_is_json_too() -> None:
    got = shown(Part(0, 1, "open"), Progress(0, "half", 0.5), Media(0, 0, "image/png", b"\0\xff"))
    assert [event.type for event in got] == ["part", "progress", "media"]
    assert json.loads(got[2].event.value) == {  # type: ignore[union-attr,arg-type]
        "content_type": "image/png",
        "data": "AP8=",
    }
    (usage,) = shown(Usage(0, 3, 4, estimated=True))
    assert json.loads(usage.event.value) == {  # type: ignore[union-attr,arg-type]
        "input_tokens": 3,
        "output_tokens": 4,
        "estimated": True,
    }


def test_sources_keep_their_fields() -> None:
    source = Source("id", "t", "a", (3, 9), 1.5, "s", "h")
    (got,) = shown(Sources(0, (source,)))
    (made,) = got.event.value.sources  # type: ignore[union-attr]
    assert (made.begin, made.end, made.score, made.heading) == (3, 9, 1.5, "h")


def test_the_first_event_of_an_answer_says_what_it_is() -> None:
    first, second = shown(Token(0, "a"), Token(0, "b"), offset=0)
    assert first.introduction is not None
    assert first.introduction.model == "scripted"
    assert second.introduction is None


def test_a_kind_unknown_to_this_version_is_passed_over() -> None:
    assert shown(Unknown("later", b'{"kind":"later"}')) == []


def test_every_error_has_a_code() -> None:
    codes = {
        error.code
        for _, error in inspect.getmembers(errors, inspect.isclass)
        if issubclass(error, errors.FairleadError)
    }
    assert codes == set(CODES)


def test_the_generated_code_is_that_of_the_proto_files(tmp_path: Path) -> None:
    folder = Path(sys.executable).parent
    subprocess.run(
        [folder / "buf", "generate", "--template", "proto/buf.gen.yaml", "-o", tmp_path, "proto"],
        cwd=ROOT,
        env=os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"},
        check=True,
    )
    made = sorted((tmp_path / "src/fairlead/v1").iterdir())
    assert [file.name for file in made] == ["answers_connect.py", "answers_pb.py"]
    for file in made:
        kept = ROOT / "src/fairlead/v1" / file.name
        assert kept.read_text() == file.read_text(), "run: make proto"


def test_an_error_says_when_to_try_again_in_both_ways() -> None:
    made = failure(errors.Busy("full", retry_after=2.5), "11k3f9az-13")
    ours, theirs = made.details
    assert ours.type_name == "fairlead.v1.Error"
    assert theirs.type_name == "google.rpc.RetryInfo"
    # field 1, five bytes: Duration{seconds: 2, nanos: 500000000}
    assert theirs.message_bytes == b"\x0a\x08\x08\x02\x10\x80\xca\xb5\xee\x01"
