"""The page in a real browser against the real server and a scripted model server."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream, Status
from fairlead.testing.upstream.requests import Ending
from tests.support.server import ServerProcess

SCRIPT = Path(__file__).parents[1] / "js" / "page.mjs"
WORDS = tuple(f"word{n} " for n in range(40))
STORY = "".join(WORDS).strip()

DOCUMENT = """# Skarvoy

## The lighthouse

The lighthouse of Skarvoy was built in 1887 by the engineer Marit Lund. Its lamp burned whale oil.
Later keepers painted the tower white.

## The ferry

The ferry to Skarvoy leaves twice a day from the mainland.
"""

Release = Callable[[str], None]


async def drive(
    scenario: str, url: str, at: Release | None = None, env: dict[str, str] | None = None
) -> dict[str, Any]:
    """Run a scenario; ``at`` is called at its checkpoints. ``PAGE_SHOTS`` names a folder for
    screenshots, for a person to look at."""
    process = await asyncio.create_subprocess_exec(
        "node",
        str(SCRIPT),
        scenario,
        url,
        os.environ.get("PAGE_SHOTS", ""),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | (env or {}),
        limit=1 << 20,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    errors = asyncio.create_task(process.stderr.read())
    result: dict[str, Any] | None = None
    try:
        async with asyncio.timeout(90):
            async for line in process.stdout:
                said = json.loads(line)
                if "checkpoint" in said:
                    assert at is not None
                    at(said["checkpoint"])
                    process.stdin.write(b"\n")
                else:
                    result = said["result"]
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert result is not None, (await errors).decode()
    assert result.pop("complaints") == []
    return result


@asynccontextmanager
async def serving(
    data_dir: Path, upstream: ScriptedUpstream, *args: str, env: dict[str, str] | None = None
) -> AsyncIterator[str]:
    """The server in front of a scripted model server; its URL."""
    flags = ("--upstream", upstream.base_url, "--model", "scripted", "--no-knowledge", *args)
    async with ServerProcess(data_dir, *flags, env=env) as server:
        yield server.url


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream() as running:
        yield running


@pytest.fixture
async def url(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[str]:
    async with serving(tmp_path / "data", upstream) as served:
        yield served


def releasing(upstream: ScriptedUpstream, **steps: int) -> Release:
    """At each checkpoint let so many steps of the gated answer pass."""
    return lambda name: upstream.release(steps[name])


async def test_an_answer_cites_its_sources(tmp_path: Path) -> None:
    document = tmp_path / "skarvoy.md"
    document.write_text(DOCUMENT, encoding="utf-8")
    async with ServerProcess(
        tmp_path / "data", "--documents", str(document), "--extractive-pace", "0"
    ) as server:
        seen = await drive("cited", server.url)
    assert "1887" in seen["text"]
    assert seen["mark"] == "[1]"
    assert seen["chips"] >= 1
    assert "lighthouse" in seen["heading"]
    assert "1887" in seen["snippet"]
    assert "Later keepers painted the tower white." in seen["whole"]
    assert seen["focused"] == "cite"
    assert "1887" in seen["copied"]
    assert "[1]" in seen["copied"]
    assert "1887" in seen["spoken"]
    assert "extractive" in seen["model"]
    assert seen["notice"]
    assert "SSE" in seen["meta"]
    assert "first token" in seen["meta"]


async def test_a_reload_in_mid_answer_changes_nothing_of_it(
    url: str, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=WORDS, pace=Pace(gated=True)))
    seen = await drive("reload", url, releasing(upstream, asked=5, reloaded=100))
    assert seen["busy"] == "true"
    assert seen["before"].strip() == "".join(WORDS[:5]).strip()
    assert seen["text"] == STORY
    assert seen["later"] == STORY
    assert len(upstream.requests) == 1


async def test_stop_ends_the_answer_and_keeps_what_was_written(
    url: str, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=WORDS, pace=Pace(gated=True)))
    seen = await drive("stop", url, releasing(upstream, asked=5))
    assert seen["text"].strip() == "".join(WORDS[:5]).strip()
    assert "stopped" in seen["meta"]
    async with asyncio.timeout(10):
        await upstream.wait_closed()
    assert upstream.requests[0].ending is Ending.CLIENT_CLOSED


async def test_a_cut_line_resumes_after_the_last_event(
    url: str, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=WORDS, pace=Pace(gated=True)))
    seen = await drive("cut", url, releasing(upstream, asked=5, cut=100))
    assert seen["text"] == STORY
    assert seen["failed"] == ["/chat/stream"]
    assert len(seen["resumed"]) == 1
    assert "1 reconnect" in seen["meta"]
    assert len(upstream.requests) == 1


async def test_a_question_lost_on_its_way_is_asked_once_after_a_reload(
    url: str, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(text="Yes, here."))
    seen = await drive("unsent", url)
    assert seen["text"] == "Yes, here."
    assert seen["questions"] == ["Is anybody there?"]
    assert seen["keys"][0] == seen["keys"][1]
    assert len(upstream.requests) == 1


HOSTILE = (
    """<script>window.hacked = 1</script>
<img src="http://127.0.0.1:9/x" onerror="window.hacked = 2"> <svg onload="window.hacked = 3">

![picture](http://127.0.0.1:9/tracker.png) [click](javascript:window.hacked=4)
[data](data:text/html,<script>window.hacked=5</script>) [v](vbscript:x) [j](JaVaScRiPt:alert(1))
[tab](java&#9;script:alert(1)) <javascript:alert(1)> [ok](https://example.org/a?b=1)

[quote](https://example.org/"onmouseover="window.hacked=6) [1] [99]

```html"><script>window.hacked = 7</script>
</code></pre><script>window.hacked = 8</script>
```

| a | <b onclick=x>b</b> |
|---|---|
| <iframe src="javascript:window.hacked=9"> | </table> |

"""
    + ">" * 300
    + " deep "
    + "*_`[" * 200
)


async def test_hostile_answers_are_harmless(url: str, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(text=HOSTILE))
    seen = await drive("hostile", url)
    assert seen["hacked"] is None
    assert seen["handlers"] == []
    assert seen["foreign"] == []
    allowed = {"p", "pre", "code", "a", "br", "blockquote", "em", "strong", "div"}
    allowed |= {"table", "thead", "tbody", "tr", "th", "td"}
    assert set(seen["elements"]) <= allowed
    assert seen["links"]
    assert all(link.startswith(("http://", "https://")) for link in seen["links"])
    assert "<script>window.hacked = 1</script>" in seen["text"]
    assert "javascript:window.hacked=4" in seen["text"]


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

End."""

MARKDOWN_HTML = (
    "<h3>Title</h3>"
    "<p>One <strong>bold</strong> and <em>slanted</em> word, <code>code &lt;b&gt;</code>, "
    "<s>gone</s>, snake_case_name, 2 * 3 * 4.<br>Second line with "
    '<a href="https://example.org/x_y_z" target="_blank" rel="noopener noreferrer">'
    "https://example.org/x_y_z</a>. And "
    '<a href="https://example.org/" target="_blank" rel="noopener noreferrer">a **link**</a>.</p>'
    "<ol><li>first</li><li>second<ul><li>inner</li><li>more</li></ul><p>still second</p></li>"
    "<li>third</li></ol>"
    "<ul><li>[1] is no source here</li><li>*escaped*</li></ul>"
    "<blockquote><p>quoted<br>twice</p></blockquote>"
    '<pre tabindex="0" data-language="python"><code>def f(x: list[int]) -&gt; None:\n'
    '    return "&lt;b&gt;"</code></pre>'
    '<div class="table" tabindex="0"><table><thead><tr><th>Name</th><th>Value</th></tr></thead>'
    "<tbody><tr><td><code>a</code></td><td><strong>1</strong></td></tr></tbody></table></div>"
    "<hr><p>End.</p>"
)


async def test_markdown_is_shown_the_same_however_it_arrives(
    url: str, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=tuple(MARKDOWN)))
    seen = await drive("markdown", url, env={"MARKDOWN": MARKDOWN})
    assert seen["html"] == MARKDOWN_HTML
    assert seen["grown"] == MARKDOWN_HTML


def _event(data: str, event: str = "message", id: str = "") -> dict[str, str]:
    return {"event": event, "data": data, "id": id}


PARSED: list[tuple[str, list[dict[str, str]], int | None]] = [
    ("data: a\n\n", [_event("a")], None),
    ("data: a\r\n\r\ndata: b\r\rdata: c\n\n", [_event("a"), _event("b"), _event("c")], None),
    ("﻿data: a\ndata:b\ndata\n\n", [_event("a\nb\n")], None),
    (
        ": comment\nretry: 250\nid: s.1\nevent: token\ndata: é好\U0001f600\n\n",
        [_event("é好\U0001f600", "token", "s.1")],
        250,
    ),
    (
        "id: 1\ndata: a\n\ndata: b\n\nid: 2\ndata: cut",
        [_event("a", id="1"), _event("b", id="1")],
        None,
    ),
    ("id: 1\n\nid: x\0y\ndata: a\u2028b\u0085c\n\n", [_event("a\u2028b\u0085c", id="1")], None),
    ("event: lost\n\ndata: a\n\nretry: 1x\n", [_event("a")], None),
]


async def test_the_parser_reads_every_line_end_in_any_pieces(url: str) -> None:
    seen = await drive("parser", url, env={"CASES": json.dumps([text for text, _, _ in PARSED])})
    for (text, events, retry), pieces in zip(PARSED, seen["results"], strict=True):
        for parsed in pieces:
            assert parsed == {"events": events, "retry": retry}, text


async def test_the_key_is_asked_for_only_where_it_is_needed(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(text="Welcome."))
    key = "correct-horse-battery-staple-01234567"
    env = {"FAIRLEAD_API_KEYS": f"alice={key}"}
    async with serving(tmp_path / "data", upstream, env=env) as url:
        seen = await drive("key", url, env={"PAGE_KEY": key})
    assert seen["text"] == "Welcome."
    assert key not in seen["address"]


async def test_a_failed_answer_says_why_and_can_be_tried_again(
    url: str, upstream: ScriptedUpstream
) -> None:
    upstream.script(Status(401), Answer(text="Second time lucky"))
    seen = await drive("failure", url)
    assert "key" in seen["words"]
    assert seen["text"] == "Second time lucky"
    assert seen["answers"] == 1


async def test_conversations_can_be_opened_and_deleted(
    url: str, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(text="A fruit."))
    seen = await drive("conversations", url)
    assert seen["titles"] == ["About pears", "About apples"]
    assert seen["opened"] == ["About apples"]
    assert seen["left"] == ["About pears"]
    assert seen["address"] == f"{url}/"


async def test_a_phone_shows_all_of_it_in_its_language(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    long = "a" * 200 + "\n\n```\n" + "b" * 300 + "\n```\n\n" + "| " + "c" * 90 + " | d |\n|--|--|\n"
    upstream.script(Answer(text=long))
    async with serving(tmp_path / "data", upstream, "--base-path", "/under/here") as url:
        seen = await drive("phone", url)
    assert seen["lang"] == "zh-CN"
    assert seen["placeholder"] == "输入问题"
    assert seen["overflow"] <= 0
    assert seen["composerInView"]
