"""A process of its own with a store, driven over pipes: one JSON value per line each way.

Run as ``python -m tests.stores.child <path of the journal> <setting=value …>``.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from fairlead.journal.position import Epoch
from fairlead.ports.store import Acquired, Appended, Created, StreamSpec
from fairlead.stores.sqlite import SqliteStore, checkpoint, journal


def record(id: str, offset: int) -> bytes:
    """What every process writes at a place, so that any can tell what must stand there."""
    return f"{id}:{offset}:".encode() + b"." * (offset * 37 % 200)


def say(value: Any) -> None:
    os.write(1, json.dumps(value).encode() + b"\n")


async def hear() -> Any:
    line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    return json.loads(line) if line else None


async def begin(store: SqliteStore, id: str, owner: str) -> tuple[Epoch, int]:
    """Create the stream, or take it over."""
    spec = StreamSpec(id=id, owner="ann", content_type="text/plain")
    created = await store.create(spec, writer=owner)
    if isinstance(created, Created):
        assert created.epoch is not None
        return created.epoch, 0
    acquired = await store.acquire(id, owner)
    assert isinstance(acquired, Acquired), acquired
    return acquired.epoch, acquired.head.tail


async def write_for_ever(store: SqliteStore, id: str, owner: str) -> None:
    """Append as fast as the store takes it, saying (id, tail) for all that it acknowledged."""
    epoch, tail = await begin(store, id, owner)
    say([id, tail])
    size = 1 + hash(id) % 5
    waiting: list[asyncio.Future[Any]] = []
    while True:
        for _ in range(3):
            records = [record(id, tail + i) for i in range(size)]
            waiting.append(store.append(id, epoch, tail, records))
            tail += size
        for outcome in await asyncio.gather(*waiting):
            assert isinstance(outcome, Appended), outcome
        waiting.clear()
        say([id, tail])


async def main(path: str, *settings: str) -> None:
    for setting in settings:
        name, value = setting.split("=")
        {"fold": lambda v: setattr(journal, "FOLD_AFTER", float(v)),
         "pages": lambda v: setattr(checkpoint, "PAGES", int(v))}[name](value)  # fmt: skip
    store = SqliteStore(Path(path))
    await store.open()
    say("ready")
    epochs: dict[str, Epoch] = {}
    while (command := await hear()) is not None:
        verb, *args = command
        match verb:
            case "write for ever":
                owner, *ids = args
                await store.join(owner, 1e6)
                await asyncio.gather(*(write_for_ever(store, id, owner) for id in ids))
            case "begin":
                id, owner = args
                await store.join(owner, 1e6)
                epochs[id], tail = await begin(store, id, owner)
                say(tail)
            case "append":
                id, tail, count, close = args
                outcome = await store.append(
                    id, epochs[id], tail, [record(id, tail + i) for i in range(count)], close=close
                )
                say(type(outcome).__name__)
            case "create all":
                owner, *ids = args
                await store.join(owner, 1e6)
                made = await asyncio.gather(
                    *(
                        store.create(
                            StreamSpec(id=id, owner="ann", content_type="text/plain"),
                            writer=owner,
                            records=[owner.encode()],
                        )
                        for id in ids
                    )
                )
                say([id for id, m in zip(ids, made, strict=True) if isinstance(m, Created)])
            case "listen":
                (owner,) = args
                store.on_signal(owner, lambda id, name: say([id, name]))
                say("listening")
            case "signal":
                id, name = args
                await store.signal(id, name)
                say("signalled")
    await store.close()
    say("closed")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
