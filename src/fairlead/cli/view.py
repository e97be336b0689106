"""An answer in the terminal: its text on stdout, everything about it on stderr."""

from __future__ import annotations

import sys
from typing import Any

from rich.control import Control
from rich.segment import ControlType
from rich.text import Text

from fairlead.cli.console import FAILED, err, printable
from fairlead.client.answers import Event


class View:
    """Shows the events of one answer. On a terminal a dim line says what is being done until the
    text begins; without one only text, sources and errors are written."""

    def __init__(self) -> None:
        self.status = 0
        """The exit status that the answer's end stands for."""
        self._err = err()
        self._live = self._err.is_terminal
        self._is_terminal = sys.stdout.isatty()
        self._thinking = False
        self._written = ""
        self._sources: list[Any] = []
        self._conversation = ""

    def show(self, event: Event) -> None:
        """Take in one event."""
        data = event.data
        if conversation := data.get("conversation_id"):
            self._conversation = str(conversation)
            if notice := data.get("notice"):
                self.note(str(notice))
        match event.name:
            case "token":
                self._write(event.text)
            case "thinking" | "progress":
                self.thinking(str(data.get("message", "")))
            case "reasoning":
                self.thinking("Reasoning…")
            case "part" if data.get("type") == "tool_call" and data.get("state") == "open":
                self.thinking(f"Calling {data.get('name', 'a tool')}…")
            case "sources":
                found = data.get("sources")
                self._sources = found if isinstance(found, list) else []
            case "reset":
                self._reset(str(data.get("text", "")), str(data.get("reason", "")))
            case "done":
                self._done(str(data.get("status", "")), str(data.get("reason", "")))
            case "error":
                self._error(data)
            case _:
                pass  # a kind of a later version

    def thinking(self, message: str) -> None:
        """Say dimly what is being done; the next thing written takes its place."""
        if not self._live or not message:
            return
        self._clear()
        if self._written and not self._written.endswith("\n") and self._is_terminal:
            return  # it would stand in the middle of the answer's line
        line = Text(printable(message).replace("\n", " "), "dim", no_wrap=True)
        line.truncate(max(8, self._err.width - 1), overflow="ellipsis")
        self._err.print(line, end="")
        self._thinking = True

    def note(self, message: str) -> None:
        """A dim line, for people on a terminal."""
        if self._live:
            self._clear()
            self._err.print(Text(printable(message), "dim"))

    def end(self) -> None:
        """Nothing more comes: end the line. Idempotent."""
        self._clear()
        if self._written and not self._written.endswith("\n"):
            self._put("\n")

    # -- parts

    def _write(self, text: str) -> None:
        self._clear()
        self._put(text)

    def _put(self, text: str) -> None:
        self._written += text
        # A pipe gets what the model wrote; a terminal gets nothing that would steer it.
        sys.stdout.write(printable(text) if self._is_terminal else text)
        sys.stdout.flush()

    def _clear(self) -> None:
        if self._thinking:
            self._err.control(Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2)))
            self._thinking = False

    def _reset(self, text: str, reason: str) -> None:
        if text.startswith(self._written):
            self._write(text.removeprefix(self._written))
            return
        self.end()
        self.say("The server took back what it had written", reason, "yellow")
        self._written = ""
        self._write(text)

    def _done(self, status: str, reason: str) -> None:
        self.end()
        if status == "stopped":
            self.say("The answer was stopped", "" if reason == "stop" else reason, "yellow")
        if self._sources:
            self._err.print()
            for n, source in enumerate(self._sources, start=1):
                self._source(n, source)
        if self._conversation:
            self.note(f'Go on with: fairlead ask -c {self._conversation} "…"')

    def _source(self, n: int, source: Any) -> None:
        if not isinstance(source, dict):
            return
        title, heading, address = (
            printable(str(source.get(name, ""))) for name in ("title", "heading", "address")
        )
        where = f"{title} › {heading}" if heading and heading != title else title
        self._err.print(Text.assemble((f"[{n}] ", "dim"), where, (f"  {address}", "dim")))

    def _error(self, data: dict[str, Any]) -> None:
        self.end()
        self.say("error", str(data.get("error", "the answer failed")), "red")
        if data.get("retryable") is True:
            self.note("Asking again may help.")
        self.status = FAILED

    def say(self, what: str, more: str, style: str) -> None:
        """A line for everybody, on a terminal or not."""
        self._clear()
        self._err.print(Text(printable(f"{what}: {more}" if more else what), style))
