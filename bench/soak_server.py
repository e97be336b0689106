"""Fairlead that counts what it holds: at SIGUSR1, once nothing runs any more, it says how many
tasks, descriptors and bytes it has, as one line of JSON."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import sys
from pathlib import Path

import msgspec
import uvloop

from bench import proc
from bench.fairlead_server import listen, server
from fairlead.server.composition import compose
from fairlead.server.config import Config
from fairlead.server.lifecycle import Server
from fairlead.server.system import System
from fairlead.server.telemetry import configure_logs


class Held(msgspec.Struct, frozen=True):
    """What a process holds. ``memory`` in bytes (RSS)."""

    tasks: int
    descriptors: int
    memory: int


async def serve(options: argparse.Namespace) -> None:
    """Serve until SIGTERM."""
    config = Config(
        data_dir=options.data_dir,
        durability=options.durability,
        upstream=options.upstream,
        model="scripted",
        knowledge=False,
        max_generations=100_000,
        max_readers=100_000,
        drain_grace=0,
    )
    async with compose(config) as system:
        running = server(system)
        sock = listen()
        asked = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, asked.set)
        counting = asyncio.create_task(_count(system, running, asked))
        print(sock.getsockname()[1], flush=True)
        await running.serve(sockets=[sock])
        counting.cancel()


async def _count(system: System, running: Server, asked: asyncio.Event) -> None:
    while True:
        await asked.wait()
        asked.clear()
        await system.engine.wait_idle()
        # Their sockets are closed by now or about to be; uvicorn does not tell when the last is.
        while running.server_state.connections or system.engine.readers:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        gc.collect()
        pid = os.getpid()
        held = Held(len(asyncio.all_tasks()), proc.descriptors(pid), proc.rss([pid]))
        sys.stdout.buffer.write(msgspec.json.encode(held) + b"\n")
        sys.stdout.buffer.flush()


def main() -> None:
    """Serve; the first line on stdout is the port."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak_server", description=__doc__)
    parser.add_argument("--durability", choices=["memory", "process", "power"], default="process")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--upstream", required=True)
    configure_logs("json", "error")
    uvloop.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
