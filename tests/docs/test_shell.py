"""The documentation's commands, run as they stand there."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path

import pytest

from fairlead.framing.event_stream import Frame
from tests.docs.blocks import ADDRESS, Block, blocks_of, marked
from tests.docs.conftest import KINDS, Servers
from tests.docs.shape import check_events, check_json, frames
from tests.support.server import ServerProcess

pytestmark = pytest.mark.asyncio(loop_scope="module")

RUN = marked("run", "sh")


async def run(
    script: str, server: ServerProcess | None, cwd: Path | None = None, **env: str
) -> str:
    """The output of a script, which must succeed. It runs without the variables of this process
    that Fairlead would read, and with the ``fairlead`` of this environment."""
    environ = {name: value for name, value in os.environ.items() if "FAIRLEAD" not in name}
    environ["PATH"] = f"{Path(sys.executable).parent}:{environ['PATH']}"
    if server is not None:
        script = script.replace(ADDRESS, server.url)
    process = await asyncio.create_subprocess_exec(
        "bash", "-eu", "-c", script,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env=environ | env, cwd=cwd,
    )  # fmt: skip
    async with asyncio.timeout(90):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


def text_of(events: list[Frame]) -> str:
    """What the tokens among the events add up to."""
    return "".join(json.loads(e.data)["token"] for e in events if e.event == "token")


def output_of(block: Block) -> Block | None:
    """The output that the document shows for the block."""
    following = blocks_of(Path(__file__).parents[2] / block.file)
    return next((b for b in following if b.before == block and b.mark == "output"), None)


@pytest.mark.parametrize("block", RUN, ids=str)
async def test_command_does_what_the_document_says(
    block: Block, servers: Servers, variables: dict[str, str], tmp_path: Path
) -> None:
    server = await servers(block.value if block.value in KINDS else "")
    script = block.text
    asked: list[Frame] = []
    if block.value == "resume":
        assert block.before is not None
        assert block.before.before is not None
        asked = frames(await run(block.before.before.text, server))
        stood = asked[4].id or ""
        shown = re.search(r"[0-9a-z]{26}\.[0-9a-z-]+", script)
        assert shown is not None
        script = script.replace(shown[0], stood)
        script = script.replace(shown[0].partition(".")[0], stood.partition(".")[0])
    out = await run(script, server, tmp_path, **variables)
    shown_output = output_of(block)

    if block.value == "text":
        asking = f"curl -sN '{ADDRESS}/chat/stream?message=What+is+a+position'"
        assert out
        assert out == text_of(frames(await run(asking, server)))
    elif block.value == "cors":
        assert "access-control-allow-origin: https://app.example" in out.lower()
    elif out.startswith("{"):
        real = json.loads(out)
        if shown_output is not None:
            check_json(json.loads(shown_output.text), real)
        else:
            assert "code" not in real
    else:
        if shown_output is not None:
            check_events(shown_output.text, out)
        got = frames(out)
        assert got[-1].event == "done"
        if block.value in ("rest", "resume"):
            stream = (got[0].id or "").partition(".")[0]
            read = f"curl -s {ADDRESS}/streams/{stream} -H 'Accept: application/json'"
            whole, rest = json.loads(await run(read, server))["text"], text_of(got)
            assert whole.endswith(rest)
            assert 0 < len(rest) < len(whole)
            if block.value == "resume":
                assert whole == text_of(asked[:5]) + rest


async def test_stop_is_answered_with_the_answer(servers: Servers) -> None:
    block, _ = (b for b in RUN if b.file == "docs/how-to/stop-an-answer.md")
    answer = json.loads(await run(block.text, await servers("")))
    assert answer["status"] in ("stopped", "completed")


async def test_interrupting_is_answered_with_the_next_answer(servers: Servers) -> None:
    _, block = (b for b in RUN if b.file == "docs/how-to/stop-an-answer.md")
    events = list(frames(await run(block.text, await servers(""))))
    assert events[-1].event == "done"
    assert "position" in "".join(json.loads(e.data)["token"] for e in events if e.event == "token")


async def test_second_question_with_the_same_key_is_the_first_one(servers: Servers) -> None:
    (block,) = (b for b in RUN if b.file == "docs/how-to/idempotency.md")
    text = block.text.replace("order-1042", "order-1043").replace(">/dev/null", "")
    ids = {
        (frame.id or "").partition(".")[0] for frame in frames(await run(text, await servers("")))
    }
    assert len(ids) == 1


async def test_conversation_has_both_questions(servers: Servers) -> None:
    (block,) = (b for b in RUN if b.file == "docs/how-to/conversations.md")
    text = block.text.replace("my-first-talk", "my-second-talk")
    talk = json.loads(await run(text, await servers("")))
    assert [m["role"] for m in talk["messages"]] == ["user", "assistant"] * 2


@pytest.mark.parametrize("block", marked("ingest"), ids=str)
async def test_documents_are_taken_in(block: Block, tmp_path: Path) -> None:
    (tmp_path / "handbook").mkdir()
    (tmp_path / "handbook" / "leave.md").write_text("# Leave\n\nEverybody has 30 days of leave.\n")
    out = await run(block.text, None, tmp_path, FAIRLEAD_DATA_DIR=str(tmp_path / "data"))
    assert re.search(r"added\s+1", out), out


@pytest.mark.parametrize("block", marked("backup"), ids=str)
async def test_backup_of_a_running_server_can_be_restored(
    block: Block, servers: Servers, tmp_path: Path
) -> None:
    server = await servers("")
    key = "curl -sN http://127.0.0.1:8000/chat/stream?message=position\\&key=kept"
    before = await run(key, server)
    await run(block.text, None, DATA=str(server.data_dir), BACKUP=str(tmp_path))
    async with ServerProcess(tmp_path) as restored:
        # The key finds the same answer: its id comes from the secret, its events from the journal.
        after = await run(key, restored)
    assert text_of(frames(before)) == text_of(frames(after)) != ""
    assert frames(before)[-1].id == frames(after)[-1].id
