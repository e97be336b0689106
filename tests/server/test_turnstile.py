"""A crowd of requests comes in a few at a time, in its order."""

from __future__ import annotations

import asyncio

from fairlead.server.turnstile import Turnstile


async def test_a_crowd_comes_in_a_few_at_each_turn_of_the_loop() -> None:
    turnstile, inside = Turnstile(4), list[int]()

    async def come(number: int) -> None:
        if (waiting := turnstile.enter()) is not None:
            await waiting
        inside.append(number)

    tasks = [asyncio.create_task(come(number)) for number in range(50)]
    tasks[20].cancel()
    turns = []
    while len(inside) < 49:
        before = len(inside)
        await asyncio.sleep(0)
        turns.append(len(inside) - before)
    assert max(turns) <= 4
    assert inside == [number for number in range(50) if number != 20]
    # Who waits and leaves keeps nobody from coming in.
    tasks = [asyncio.create_task(come(number)) for number in range(10)]
    await asyncio.sleep(0)
    for task in tasks[4:8]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert inside[49:] == [0, 1, 2, 3, 8, 9]
    await asyncio.sleep(0)
    assert turnstile.enter() is None
