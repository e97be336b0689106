"""``python -m bench.load``: reads a plan from standard input, writes the result to standard
output."""

from __future__ import annotations

import gc
import sys

import msgspec
import uvloop

from bench.load.answers import answers
from bench.load.first import first
from bench.load.idle import idle
from bench.load.plan import Answers, First, Idle, Plan, Probe, Storm, Stream
from bench.load.probe import probe
from bench.load.reader import BadAnswer
from bench.load.storm import storm
from bench.load.stream import stream
from bench.processes import raise_descriptor_limit


async def _run(plan: Plan) -> msgspec.Struct:
    match plan:
        case Stream():
            return await stream(plan)
        case First():
            return await first(plan)
        case Storm():
            return await storm(plan)
        case Idle():
            return await idle(plan)
        case Probe():
            return await probe(plan)
        case Answers():
            return await answers(plan)


def main() -> None:
    """Carry out one plan."""
    raise_descriptor_limit()
    plan: Plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    gc.disable()  # nothing here makes cycles while it measures, and pauses would be misread
    try:
        result = uvloop.run(_run(plan))
    except (BadAnswer, OSError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    sys.stdout.buffer.write(msgspec.json.encode(result))


if __name__ == "__main__":
    main()
