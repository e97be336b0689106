"""Pictures of the page, for README and for whoever looks after it: ``make screenshots``."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
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
        async with ServerProcess(Path(place) / "fresh") as server:
            await drive("screenshots.fresh", server.url, folder=str(folder))


if __name__ == "__main__":
    chosen = Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES
    chosen.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(chosen))
