"""``python -m fairlead.testing.upstream``: the scripted upstream by hand and for workloads."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys

from fairlead.testing.upstream.behaviours import Answer, Behaviour, Echo, Pace
from fairlead.testing.upstream.server import ScriptedUpstream

if sys.platform != "win32":
    import uvloop


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m fairlead.testing.upstream",
        description="An OpenAI-compatible model server that says what it is told.",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9999, help="0 takes a free one")
    parser.add_argument("--delay-ms", type=float, default=0.0, help="before each token")
    parser.add_argument(
        "--tokens", type=int, default=0, help="how many tokens an answer has; 0 echoes the question"
    )
    parser.add_argument("--model", default="scripted", help="the model to list")
    return parser.parse_args()


async def _serve(options: argparse.Namespace) -> None:
    pace = Pace(delay_s=options.delay_ms / 1000)
    behaviour: Behaviour = Echo(pace=pace)
    if options.tokens:
        # With these two fields, as OpenAI sends them, a chunk has about 250 bytes.
        extra = {"service_tier": "default", "system_fingerprint": "fp_0123456789"}
        tokens = [f"word{n} " for n in range(options.tokens)]
        behaviour = Answer(tokens=tokens, chunk_extra=extra, pace=pace)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Windows' loops know no signal handlers; there Ctrl-C ends the program.
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stopped.set)
    upstream = ScriptedUpstream(host=options.host, port=options.port, models=(options.model,))
    upstream.script(behaviour)
    async with upstream:
        print(upstream.base_url, flush=True)
        await stopped.wait()


def main() -> None:
    """Serve until SIGINT or SIGTERM."""
    if sys.platform == "win32":
        asyncio.run(_serve(_options()))
    else:
        uvloop.run(_serve(_options()))


if __name__ == "__main__":
    main()
