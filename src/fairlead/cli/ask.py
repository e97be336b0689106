"""``fairlead ask``: ask a server, and read its answer in the terminal."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from fairlead.cli.console import WRONG_USAGE, err, reports_errors

DEFAULT_SERVER = "http://127.0.0.1:8000"
_MAX_QUESTION = 4 * 1024 * 1024


@reports_errors
def ask(
    question: Annotated[
        str | None,
        typer.Argument(help="The question; - reads it from standard input.", show_default=False),
    ] = None,
    conversation: Annotated[
        str | None,
        typer.Option("--conversation", "-c", metavar="ID", help="Go on with this dialogue."),
    ] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Which model to ask.")] = None,
    files: Annotated[
        list[str] | None,
        typer.Option(
            "--file",
            "-f",
            metavar="FILE",
            help="A picture or text to go along; may be given again.",
            show_default=False,
        ),
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Print the answer's id and leave it running.")
    ] = False,
    attach: Annotated[
        str | None, typer.Option(metavar="ID", help="Follow a running or finished answer.")
    ] = None,
    server: Annotated[
        str, typer.Option(envvar="FAIRLEAD_SERVER", metavar="URL", help="The server.")
    ] = DEFAULT_SERVER,
) -> None:
    """Ask a question; the answer streams in as it is written.

    Ctrl-C stops the answer, on the server too; a second one leaves at once.
    A broken connection heals by itself. Only the answer goes to standard
    output, so it can be piped. The variable FAIRLEAD_API_KEY holds your key.

    \b
    Examples:
      fairlead ask "What is a position?"
      fairlead ask -c 4vk2… "And an epoch?"
      fairlead ask --detach "Explain all of it"     prints an id
      fairlead ask --attach 7b1z…                   follows it
      git diff | fairlead ask -
      fairlead ask -f chart.png "What stands out?"
    """
    if (question is None) == (attach is None):
        err().print("Give a question, or --attach ID. See: fairlead ask --help")
        raise typer.Exit(WRONG_USAGE)
    if files and attach is not None:
        err().print("--file goes along with a question, not with --attach.")
        raise typer.Exit(WRONG_USAGE)
    if question == "-":
        question = sys.stdin.read(_MAX_QUESTION)
    # Only now: aiohttp takes its time to import.
    from fairlead.cli.asking import Asking

    asking = Asking(server, os.environ.get("FAIRLEAD_API_KEY", "").strip() or None)
    if attach is not None:
        status = asking.attach(attach)
    elif detach:
        status = asking.detach(question or "", conversation, model, files)
    else:
        status = asking.ask(question or "", conversation, model, files)
    if status:
        raise typer.Exit(status)
