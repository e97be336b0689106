"""What an answer looks like: sources, Markdown, reasoning, long tasks, media."""

from __future__ import annotations

import base64
import re
import struct
import zlib
from pathlib import Path

import aiohttp
import pytest

from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from fairlead.testing.upstream.behaviours import ToolCall
from tests.page.driving import drive, releasing
from tests.support.server import ServerProcess

DOCUMENT = """# Skarvoy

## The lighthouse

The lighthouse of Skarvoy was built in 1887 by the engineer Marit Lund. Its lamp burned whale oil.
Later keepers painted the tower white.

## The ferry

The ferry to Skarvoy leaves twice a day from the mainland.
"""

MARKDOWN = """# Title

One **bold** and *slanted* word, `code <b>`, ~~gone~~, snake_case_name, 2 * 3 * 4.
Second line with https://example.org/x_y_z. And [a **link**](https://example.org/).

1. first
2. second
   - inner
   - more

   still second
3. third

- [1] is no source here
- \\*escaped\\*

> quoted
> twice

```python
def f(x: list[int]) -> None:
    return "<b>"
```

| Name | Value |
|:--|--:|
| `a` | **1** |

---

Setext
======

[late] reference

End.

[late]: https://example.org/late
"""


async def test_an_answer_cites_its_sources(tmp_path: Path) -> None:
    document = tmp_path / "skarvoy.md"
    document.write_text(DOCUMENT, encoding="utf-8")
    async with ServerProcess(
        tmp_path / "data", "--documents", str(document), "--extractive-pace", "0"
    ) as server:
        seen = await drive("reading.cited", server.url)
    for name in ("DeepSeek", "OpenAI", "Ollama", "fairlead serve --upstream"):
        assert name in seen["notice"]
    assert "1887" in seen["text"]
    assert seen["chips"] >= 1
    assert (seen["before"], seen["fetched"]) == (0, 1)
    assert "The lighthouse" in seen["heading"]
    assert "1887" in seen["marked"]
    assert "leaves twice a day" not in seen["marked"]
    assert "leaves twice a day" in seen["document"]
    assert seen["focused"] == "passage"
    assert seen["returned"] == "cite"
    assert "1887" in seen["copied"]
    assert seen["foreign"] == []


async def test_markdown_is_shown_the_same_however_it_arrives(
    url: str, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=tuple(MARKDOWN), pace=Pace(gated=True)))
    upstream.release(12)
    seen = await drive("reading.markdown", url, releasing(upstream, begun=5000))
    assert seen["grown"] == seen["opened"]
    html = seen["grown"]
    for part in (
        '<h3 dir="auto">Title</h3>',
        "<strong>bold</strong>",
        "<code>code &lt;b&gt;</code>",
        "<s>gone</s>",
        "snake_case_name, 2 * 3 * 4.<br>",
        '<a href="https://example.org/x_y_z" target="_blank" rel="noopener noreferrer nofollow">',
        '<ol dir="auto" start="1">',
        "[1] is no source here",
        "*escaped*",
        '<span class="hl-keyword">def</span>',
        '<td class="right"><strong>1</strong></td>',
        "<hr>",
        '<h3 dir="auto">Setext</h3>',
        'href="https://example.org/late"',
    ):
        assert part in html
    assert re.search(r"<blockquote[^>]*><p[^>]*>quoted<br>twice</p></blockquote>", html)


async def test_reasoning_is_folded_away(url: str, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(text="Yes.", reasoning="First this, then that."))
    seen = await drive("reading.reasoning", url)
    assert seen == {"folded": True, "said": "First this, then that.", "text": "Yes."}


async def test_what_the_model_calls_is_shown(url: str, upstream: ScriptedUpstream) -> None:
    calls = (
        ToolCall("look_up", '{"island": "Skarvoy"}'),
        ToolCall("ferry_times", "{}", id="call_2"),
    )
    upstream.script(Answer(text="Let me see.", tool_calls=calls))
    seen = await drive("reading.tools", url)
    assert seen == {
        "shown": ["calls look_up", "calls ferry_times"],
        "folded": True,
        "arguments": '{"island": "Skarvoy"}',
    }


async def test_code_is_copied_as_it_is(url: str, upstream: ScriptedUpstream) -> None:
    code = 'if a < b:\n\n    print("<b>&amp;")\n'
    upstream.script(Answer(text=f"```python\n{code}```\n"))
    assert await drive("reading.code", url) == {"copied": code}


@pytest.mark.parametrize("wish", ["reduce", "no-preference"])
async def test_text_flows_in_and_nothing_moves_for_who_wants_no_motion(
    url: str, upstream: ScriptedUpstream, wish: str
) -> None:
    piece = "flowing " * 300 + "END"
    upstream.script(Answer(tokens=(piece,), pace=Pace(gated=True)))
    steps = releasing(upstream, asked=1, shown=1)
    seen = await drive("reading.motion", url, steps, reducedMotion=wish)
    if wish == "reduce":
        assert seen == {"moves": False, "steps": 1}
    else:
        assert seen["moves"]
        assert seen["steps"] > 5


async def test_who_reads_further_up_is_left_there(url: str, upstream: ScriptedUpstream) -> None:
    lines = tuple(f"line{n}\n\n" for n in range(180))
    upstream.script(Answer(tokens=lines, pace=Pace(gated=True)))
    seen = await drive("reading.scrolling", url, releasing(upstream, asked=60, up=60, down=100))
    assert seen["followed"] < 60
    assert seen["before"] == seen["after"]
    assert seen["ended"] < 60


def picture(width: int, height: int) -> bytes:
    """A black PNG."""

    def chunk(name: bytes, data: bytes) -> bytes:
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + bytes(width)) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


async def test_a_long_task_shows_what_is_done_how_far_it_is_and_its_media(url: str) -> None:
    async with aiohttp.ClientSession(url) as program:
        async with program.post("/streams", json={"message": "Draw."}) as response:
            begun = await response.json()
        written = 0

        async def write(kind: str, **data: object) -> None:
            nonlocal written
            async with program.post(
                f"/streams/{begun['stream']}/events",
                params={"writer": str(begun["writer"]), "at": str(written)},
                data=aiohttp.JsonPayload({"type": kind, "data": data}),
                headers={"content-type": "application/x-ndjson"},
            ) as response:
                assert response.status == 200, await response.text()
            written += 1

        async def finish() -> None:
            await write("token", token="There it is.")
            await write("done")

        steps = [
            lambda: write("thinking", status="queued", message=""),
            lambda: write("thinking", status="retrieving", message=""),
            lambda: write("thinking", status="reading", message=""),
            lambda: write("thinking", status="writing", message=""),
            lambda: write("progress", message="Half of it", fraction=0.5),
            lambda: write(
                "media",
                content_type="image/png",
                data=base64.b64encode(picture(6, 4)).decode(),
            ),
            finish,
        ]

        seen = await drive(
            "reading.task",
            url,
            lambda _: steps.pop(0)(),
            conversation=begun["conversation_id"],
            thinking=["Waiting", "Looking through the documents", "Reading", "Thinking"],
        )
    assert seen["half"]["value"] == 0.5
    assert "Half of it" in seen["half"]["words"]
    assert seen["size"] == [6, 4]
    assert seen["text"] == "There it is."
    assert seen["bars"] == 0


WIDE_TABLE = """
| Light | Built | Height above the sea | Engineer | Fuel | Range in nautical miles |
|:--|--:|--:|:--|:--|--:|
| Skarvoy | 1887 | 43 m | Marit Lund | whale oil | 19 |
"""


async def test_on_a_phone_what_is_wide_is_scrolled_and_not_squeezed(
    url: str, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(text=WIDE_TABLE))
    seen = await drive("reading.narrow", url)
    assert seen == {
        "chip": {"icon": 18, "lines": 1},
        "table": {"lines": 1, "scrolls": True},
        "overflow": 0,
    }
