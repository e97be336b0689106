"""What ``fairlead ask`` does: follows an answer, and stops it on Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fairlead.cli.console import INTERRUPTED
from fairlead.cli.view import View
from fairlead.client.answers import Event, Reconnecting
from fairlead.client.client import Client
from fairlead.client.problems import Unreachable
from fairlead.errors import FairleadError, Unauthenticated


class Asking:
    """One run of the command. Its verbs return the exit status."""

    def __init__(self, server: str, api_key: str | None) -> None:
        self._server = server
        self._api_key = api_key
        self._view = View()
        self._stream = ""
        self._interrupts = 0
        self._stopping: asyncio.Task[None] | None = None

    def ask(
        self,
        question: str,
        conversation: str | None,
        model: str | None,
        files: list[str] | None = None,
    ) -> int:
        """Ask and follow."""

        async def run(client: Client) -> int:
            events = client.ask(
                question, conversation_id=conversation, model=model, attachments=files
            )
            return await self._follow(client, events)

        return self._run(run)

    def attach(self, stream: str) -> int:
        """Follow an answer from its start."""
        self._stream = stream

        async def run(client: Client) -> int:
            return await self._follow(client, client.attach(stream))

        return self._run(run)

    def detach(
        self,
        question: str,
        conversation: str | None,
        model: str | None,
        files: list[str] | None = None,
    ) -> int:
        """Ask, print the stream's id, and leave."""

        async def run(client: Client) -> int:
            stream = await client.start(
                question,
                conversation_id=conversation,
                model=model,
                attachments=files,
                background=True,
            )
            print(stream, flush=True)
            self._view.note(f"It is being written. Follow it with: fairlead ask --attach {stream}")
            return 0

        return self._run(run)

    def _run(self, verb: Any) -> int:
        try:
            return asyncio.run(self._with_client(verb))
        except KeyboardInterrupt:
            return INTERRUPTED
        except BrokenPipeError:
            # Whoever read our output has left; the answer ends when nobody watches it.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1

    async def _with_client(self, verb: Any) -> int:
        try:
            async with Client(
                self._server, self._api_key, on_reconnect=self._reconnecting
            ) as client:
                status: int = await verb(client)
                return status
        except FairleadError as error:
            self._view.end()
            raise _with_advice(error) from None

    async def _follow(self, client: Client, events: AsyncGenerator[Event, None]) -> int:
        task = asyncio.current_task()
        assert task is not None
        with _on_interrupt(lambda: self._interrupted(client, task)):
            try:
                async with aclosing(events):
                    async for event in events:
                        self._stream = event.stream or self._stream
                        self._view.show(event)
            except asyncio.CancelledError:
                self._view.end()
                self._view.note(self._how_to_go_on("Left."))
                return INTERRUPTED
            finally:
                if self._stopping is not None:
                    if task.cancelling():
                        self._stopping.cancel()  # leaving at once waits for nothing
                    await asyncio.gather(self._stopping, return_exceptions=True)
        self._view.end()
        if self._interrupts:
            self._view.note(self._how_to_go_on("Stopped. What was written stays."))
            return INTERRUPTED
        return self._view.status

    def _interrupted(self, client: Client, task: asyncio.Task[Any]) -> None:
        self._interrupts += 1
        if self._interrupts == 1 and self._stream:
            self._view.thinking("Stopping… (Ctrl-C again leaves at once)")
            self._stopping = asyncio.create_task(self._stop(client, task))
        else:
            task.cancel()

    async def _stop(self, client: Client, task: asyncio.Task[Any]) -> None:
        try:
            await client.stop(self._stream)
        except FairleadError as error:
            self._view.end()
            self._view.say("The answer could not be stopped", error.message, "yellow")
            task.cancel()

    def _how_to_go_on(self, what: str) -> str:
        if not self._stream:
            return what
        return f"{what} Read it again with: fairlead ask --attach {self._stream}"

    def _reconnecting(self, reconnecting: Reconnecting) -> None:
        wait = reconnecting.wait
        self._view.thinking(f"{reconnecting.reason}; trying again in {wait:.0f} s…")


def _with_advice(error: FairleadError) -> FairleadError:
    """The error with what to do about it."""
    advice = ""
    if isinstance(error, Unreachable) and "status" not in error.details:
        advice = "Start a server with: fairlead serve (or name one with --server URL)"
    elif isinstance(error, Unauthenticated):
        advice = "Put your key into the variable FAIRLEAD_API_KEY."
    if not advice:
        return error
    message = f"{error.message.rstrip('.')}. {advice}"
    return type(error)(message, retry_after=error.retry_after, **error.details)


@contextlib.contextmanager
def _on_interrupt(act: Any) -> Any:
    """Call ``act`` on Ctrl-C, where the platform's loop can; elsewhere Ctrl-C leaves at once."""
    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(signal.SIGINT, act)
    except NotImplementedError:
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
