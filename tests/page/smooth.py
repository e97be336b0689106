"""How smoothly the page types and opens: ``python -m tests.page.smooth``.

An answer of 20,000 tokens at 200 tokens a second, and a conversation of 500 messages, in Chromium
against the real server. Prints tables; decides nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp

from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from tests.page.driving import drive, serving

PARTS = 5
MESSAGES = 500

BLOCK = """\
### Part {n}

Some **bold** words, `code`, a [link](https://example.org/{n}) and *more* of them in a paragraph \
that is as long as paragraphs are, so that it takes a few lines on the screen.

- one thing
- another thing, with `code` in it

| Name | Value |
|:--|--:|
| a{n} | {n} |

```python
def part(n: int) -> int:
    return n + {n}
```

"""


def long_answer(count: int) -> tuple[str, ...]:
    """So many tokens of Markdown."""
    tokens: list[str] = []
    block = 0
    while len(tokens) < count:
        text = BLOCK.format(n=block)
        # Models' tokens are about four characters long.
        tokens += [text[at : at + 4] for at in range(0, len(text), 4)]
        block += 1
    return tuple(tokens)


async def typing(place: Path, count: int, rate: float) -> None:
    """Measure an answer as it is written."""
    tokens = long_answer(count)
    # As much of it as is shown is less than what is written: so far it surely comes.
    most = 0.6 * len("".join(tokens))
    lengths = [1, *(most * n / PARTS for n in range(1, PARTS + 1))]
    async with ScriptedUpstream() as upstream:
        upstream.script(Answer(tokens=tokens, pace=Pace(delay_s=1 / rate)))
        async with serving(place, upstream) as server:
            seen = await drive(
                "smooth.typing",
                server.url,
                lengths=lengths,
                patience=1000 * (120 + 3 * count / rate),
                within=300 + 4 * count / rate,
            )
    print(f"{len(tokens):,} tokens, {seen['length']:,} characters\n")
    print("| part | tokens/s | busy | of it script, layout | tasks > 50 ms (longest) "
          "| frames: p50, p95, longest | heap | nodes |")  # fmt: skip
    print("|--:|--:|--:|--:|--:|--:|--:|--:|")
    for n, (before, now) in enumerate(pairwise(seen["parts"]), start=1):
        share = (now["length"] - before["length"]) / seen["length"]
        print(row(n, before, now, share * len(tokens)))
    print(
        f"\nWhen it had ended, and what was left over was collected: heap {mb(seen['heap'])}, "
        f"{seen['nodes']:,} nodes; tasks over 50 ms at its end: {listed(seen['last']['tasks'])}\n"
    )


def row(n: int, before: dict[str, Any], now: dict[str, Any], tokens: float) -> str:
    """A part of the answer, as the browser counted it."""
    took = now["at"] - before["at"]
    share = {name: (now[name] - before[name]) / took for name in ("busy", "script", "layout")}
    frames = sorted(now["frames"]) or [0.0]
    shown = [frames[len(frames) // 2], frames[int(0.95 * (len(frames) - 1))], frames[-1]]
    tasks = now["tasks"]
    return (
        f"| {n} | {tokens / took:.0f} | {share['busy']:.0%} "
        f"| {share['script']:.0%}, {share['layout']:.0%} "
        f"| {len(tasks)} ({max(tasks, default=0):.0f} ms) "
        f"| {', '.join(f'{one:.0f}' for one in shown)} ms "
        f"| {mb(now['heap'])} | {now['nodes']:,} |"
    )


async def opening(place: Path) -> None:
    """Measure a long conversation that is opened."""
    async with ScriptedUpstream() as upstream:
        upstream.script(Answer(text=BLOCK.format(n=1)))
        async with serving(place, upstream) as server:
            conversation = await converse(server.url, MESSAGES // 2)
            seen = await drive(
                "smooth.opening", server.url, conversation=conversation, patience=120_000
            )
    print(
        f"{MESSAGES} messages: the last {seen['seen']['articles']} were there "
        f"{seen['seen']['at']:.0f} ms after the page was asked for, all of them after "
        f"{seen['all']:.0f} ms; tasks over 50 ms: {listed(seen['tasks'])}; "
        f"heap {mb(seen['heap'])}, {seen['nodes']:,} nodes"
    )


async def converse(url: str, questions: int) -> str:
    """Ask so many questions in one conversation; its id."""
    conversation = ""
    async with aiohttp.ClientSession(url) as session:
        for n in range(questions):
            body = {"message": f"Question {n}", "conversation_id": conversation or None}
            async with session.post("/chat/stream", json=body) as response:
                conversation = response.headers["Fairlead-Conversation"]
                await response.read()
    return conversation


def mb(size: float) -> str:
    """A size in megabytes."""
    return f"{size / 1e6:.1f} MB"


def listed(tasks: list[float]) -> str:
    """The lengths of tasks, longest first."""
    if not tasks:
        return "none"
    longest = sorted(tasks, reverse=True)[:5]
    return f"{len(tasks)} ({', '.join(f'{one:.0f}' for one in longest)} ms)"


async def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=200.0, help="tokens a second")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        await typing(Path(place) / "typing", chosen.tokens, chosen.rate)
        await opening(Path(place) / "opening")


if __name__ == "__main__":
    asyncio.run(main())
