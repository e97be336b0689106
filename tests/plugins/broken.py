"""Plugins that break in every way that the question asks for: ``<where> <how>``."""

# mypy: ignore-errors
# Written as people write plugins, and wrong on purpose.

import asyncio
import contextlib
import sys
import time

from fairlead.plugins import (
    BudgetKey,
    Keep,
    Knowledge,
    Passage,
    PromptTransform,
    Provider,
    Rule,
    StreamTransform,
)


def broken(text, where):
    """Break as the text says, if it is for this one."""
    if f"{where} raise" in text:
        raise ValueError("the secret of the inside")
    if f"{where} exit" in text:
        sys.exit(3)
    if f"{where} block" in text:
        time.sleep(3600)
    if f"{where} spin" in text:
        while True:
            pass
    if f"{where} cancel" in text:
        raise asyncio.CancelledError
    return f"{where} wrong" in text


async def hang(text, where):
    if f"{where} hang" in text:
        await asyncio.get_running_loop().create_future()
    while f"{where} stubborn" in text:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.get_running_loop().create_future()


class Prompt(PromptTransform):
    async def prompt(self, turns, caller):
        text = turns[-1].text
        await hang(text, "prompt")
        if broken(text, "prompt"):
            return [turn.text for turn in turns]
        if "prompt empty" in text:
            return []
        if "prompt endless" in text:
            return [*turns, *turns * 100_000]
        return turns


class Stream(StreamTransform):
    def write(self, chunk):
        if broken(chunk.text, "stream"):
            return 5
        if "stream endless" in chunk.text:
            return "x" * 10_000_000
        if "stream hoard" in chunk.text:
            return "", "y" * 5000
        # The model's words come in pieces: nothing is shown before all are known.
        return chunk.text if chunk.last else ("", chunk.text)


class AsyncStream(StreamTransform):
    async def write(self, chunk):
        await hang(chunk.text, "slow")
        return 5 if broken(chunk.text, "slow") else chunk.text


class Search(Knowledge):
    async def retrieve(self, question, limit):
        await hang(question, "search")
        if broken(question, "search"):
            return ["no passage"]
        if "search empty" in question:
            return [Passage(text="")]
        return [Passage(text="What is fine is fine. " * 3, title="Fine")] * 1000


class Model(Provider):
    async def answer(self, request):
        text = request.turns[-1].text
        yield "begun "
        await hang(text, "model")
        if broken(text, "model"):
            yield 5
        yield text


class Door(Rule):
    keep = Keep(headers=frozenset({"x-break"}))

    def judge(self, facts, caller):
        return "no" if broken(facts.headers.get("x-break", ""), "rule") else None


class Purse(BudgetKey):
    keep = Keep(headers=frozenset({"x-break"}))

    def key(self, caller, facts, model):
        return 5 if broken(facts.headers.get("x-break", ""), "purse") else "all"
