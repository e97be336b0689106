"""Pictures of the page, for README and for whoever looks after it: ``make screenshots``."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

import aiohttp

from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream, Status
from fairlead.testing.upstream.behaviours import split_tokens
from tests.page.driving import drive
from tests.support.server import ServerProcess

IMAGES = Path(__file__).parents[2] / "docs" / "images"

DOCUMENT = """# Skarvoy

An island of 412 people, two hours from the mainland.

## The lighthouse

The lighthouse of Skarvoy was built in 1887 by the engineer Marit Lund. Its lamp burned whale oil
until 1921, when the cable from the mainland was laid. Later keepers painted the tower white.

## The ferry

The ferry to Skarvoy leaves twice a day from the mainland, at seven and at four.
"""

ANSWER = """The lighthouse was built in **1887** by the engineer *Marit Lund* [1]. In short:

1. Its lamp burned whale oil until 1921 [1].
2. The tower was painted white by later keepers.
3. The light turns once in twelve seconds.

| Year | What happened | Keepers |
|:--|:--|--:|
| 1887 | The first light | 3 |
| 1921 | Electric light | 2 |
| 1974 | Nobody has to climb up any more | 0 |

Where the beam points is easily said:

```python
def beam(seconds: float, period: float = 12.0) -> float:
    \"\"\"The angle of the light, in degrees.\"\"\"
    return 360.0 * (seconds % period) / period  # never more than a turn
```

> A light that nobody sees is still a light.
"""

TALE = (
    "Skarvoy is an island of 412 people, two hours by ferry from the mainland. Its lighthouse has "
    "stood on the western cliff since 1887, when Marit Lund had it built of granite that came over "
    "on sledges in the winter before. For thirty-four years its lamp burned whale oil, which three "
    "keepers carried up a hundred and nineteen steps. Then a cable was laid, and one was enough. "
    "They say that the light turns once in twelve seconds because that is how long it takes to say "
    "a short prayer. Nobody has to climb up any more; but every evening somebody does, to look at "
    "the sea, and to make sure that the light is a light. In the village one tells the time by it: "
    "five turns are a minute, three hundred an hour, and a night in June is so short that children "
    "try to count them all. None of them ever has. "
)


async def main(folder: Path) -> None:
    """Take them into ``folder``."""
    with tempfile.TemporaryDirectory() as place:
        document = Path(place) / "skarvoy.md"
        document.write_text(DOCUMENT, encoding="utf-8")
        async with ScriptedUpstream() as upstream:
            upstream.script(
                Answer(
                    tokens=split_tokens(ANSWER),
                    reasoning=split_tokens("The first passage names the year and the engineer."),
                    pace=Pace(delay_s=0.02),
                )
            )
            async with ServerProcess(
                Path(place) / "data",
                *("--upstream", upstream.base_url, "--model", "lighthouse-1"),
                *("--documents", str(document), "--retry", "0.2"),
            ) as server:
                await drive("screenshots.chat", server.url, folder=str(folder))
                upstream.script(Answer(tokens=split_tokens(TALE * 2), pace=Pace(delay_s=0.02)))
                await drive("screenshots.lab", server.url, folder=str(folder))
        async with ServerProcess(Path(place) / "fresh") as server:
            await drive("screenshots.fresh", server.url, folder=str(folder))
        busy = Path(place) / "busy"
        busy.mkdir()
        await operator(busy, folder)


OPERATED = """
[[upstreams]]
name = "rented"
base_url = "{failing}"
models = ["lighthouse-1"]
breaker_failures = 1
breaker_rest = 900
max_retries = 0

[[upstreams]]
name = "our-own"
base_url = "{working}"
models = ["lighthouse-1", "lighthouse-mini"]
max_concurrent = 8

[[routes]]
model = "lighthouse-1"
strategy = "in_order"

[[budgets]]
name = "daily-tokens"
limit = 12000
per = "day"

[[budgets]]
name = "trial"
limit = 7
unit = "requests"
per = "month"
keyed_by = []
"""
PEOPLE = ("ada", "grace", "linus", "mei")


async def operator(place: Path, folder: Path) -> None:
    """A server that is busy, as its operator sees it."""
    keys = {name: f"{name}-{'0123456789abcdef' * 2}" for name in (*PEOPLE, "operator")}
    config = place / "fairlead.toml"
    async with ScriptedUpstream() as upstream, ScriptedUpstream() as broken:
        tables = [OPERATED.format(working=upstream.base_url, failing=broken.base_url)]
        for name, key in keys.items():
            scopes = '"ask", "read"' + (', "admin"' if name == "operator" else "")
            digest = sha256(key.encode()).hexdigest()
            tables.append(
                f'[[keys]]\nconsumer = "{name}"\nsha256 = "{digest}"\nscopes = [{scopes}]\n'
            )
        config.write_text("".join(tables))
        broken.script(Status(503))
        async with (
            ServerProcess(place / "data", "--config", str(config), "--no-knowledge") as server,
            aiohttp.ClientSession(server.url) as http,
        ):
            upstream.script(
                *[Answer(text=ANSWER)] * 3, Answer(text=ANSWER * 9, pace=Pace(delay_s=0.2))
            )
            for name in PEOPLE[:3]:
                await (await _ask(http, keys[name])).read()
            open_ones = [await _ask(http, keys[name]) for name in PEOPLE]
            headers = {"Authorization": f"Bearer {keys['operator']}"}
            for consumer in ("the-shop", "the-app"):
                body = {"consumer": consumer, "name": "production", "expires_in": 7_776_000}
                async with http.post("/admin/keys", json=body, headers=headers) as response:
                    made = await response.json()
            await http.delete(f"/admin/keys/{made['id']}", headers=headers)
            await drive(
                "screenshots.operator", server.url,
                folder=str(folder), key=keys["operator"], streams=len(open_ones),
            )  # fmt: skip
            for each in open_ones:
                each.close()


async def _ask(http: aiohttp.ClientSession, key: str) -> aiohttp.ClientResponse:
    body = {"message": "Who built the lighthouse?", "model": "lighthouse-1"}
    return await http.post("/chat/stream", json=body, headers={"Authorization": f"Bearer {key}"})


if __name__ == "__main__":
    chosen = Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES
    chosen.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(chosen))
