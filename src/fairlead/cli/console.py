"""What commands say and how: results on stdout, everything else on stderr, errors in one line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import typer
from rich.console import Console
from rich.text import Text

from fairlead.errors import FairleadError, Misconfigured

P = ParamSpec("P")

#: Exit statuses beside 0 (sysexits and shells agree on 2 for wrong usage, 130 for Ctrl-C).
FAILED = 1
WRONG_USAGE = 2
INTERRUPTED = 130


def out() -> Console:
    """For results. Without a terminal it writes no colour."""
    return Console(file=sys.stdout, highlight=False, soft_wrap=not sys.stdout.isatty())


def err() -> Console:
    """For everything else."""
    return Console(file=sys.stderr, highlight=False, soft_wrap=not sys.stderr.isatty())


def fail(error: FairleadError) -> typer.Exit:
    """Say what went wrong, in red; what to raise then."""
    console = err()
    console.print(Text.assemble(("error: ", "bold red"), (printable(error.message), "red")))
    if error.retry_after is not None and error.retryable:
        console.print(Text(f"Try again in {error.retry_after:g} s.", "dim"))
    return typer.Exit(WRONG_USAGE if isinstance(error, Misconfigured) else FAILED)


def reports_errors(command: Callable[P, None]) -> Callable[P, None]:
    """A command whose errors of our tree become one line and an exit status."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except FairleadError as error:
            raise fail(error) from None

    return run


def printable(text: str) -> str:
    """The text without what would steer a terminal: control characters other than line feed and
    tab. What models and servers send is not to be trusted with the screen."""
    if text.isprintable():
        return text
    return "".join(c for c in text if c in "\n\t" or (c >= " " and not "\x7f" <= c <= "\x9f"))
