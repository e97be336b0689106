"""``fairlead serve``: run the server."""

from __future__ import annotations

import sys

import typer
from rich.console import Console
from rich.text import Text

from fairlead.cli.console import err, printable, reports_errors
from fairlead.cli.keys import any_key
from fairlead.cli.settings import takes_settings
from fairlead.server.collector import hold_collector
from fairlead.server.config import ADD_A_MODEL, Config
from fairlead.server.sources import Sources
from fairlead.server.tables.upstream import address


@reports_errors
@takes_settings
def serve(config: Config, sources: Sources) -> None:
    """Run the server. Ctrl-C or SIGTERM drains it: running answers get to finish.

    \b
    Examples:
      fairlead serve                            quotes its own documentation
      fairlead serve --documents ./handbook     quotes your documents
      fairlead serve --upstream http://127.0.0.1:11434/v1 --model llama3.2
      FAIRLEAD_API_KEYS=alice=… fairlead serve --host 0.0.0.0

    The key of a model server stands in the variable FAIRLEAD_UPSTREAM_KEY.
    """
    config.check_serving(stored_keys=any_key(config))
    if sys.stderr.isatty():
        banner(config, err())
    hold_collector()
    # Only now: FastAPI and uvicorn take their time to import.
    from fairlead.server.lifecycle import run

    status = run(config, sources)
    if status:
        raise typer.Exit(status)


def banner(config: Config, console: Console) -> None:
    """Say where, with what data, and who answers."""
    host = f"[{config.host}]" if ":" in config.host else config.host
    port = config.port or "(any free port; the log says which)"
    console.print(Text.assemble(("Fairlead", "bold"), f"  http://{host}:{port}{config.base_path}/"))
    _line(console, "data", f"{config.data_dir} (survives: {_SURVIVES[config.durability]})")
    if config.answerers:
        for upstream in config.answerers:
            models = ", ".join(upstream.models)
            _line(console, "answers", f"{models} at {address(upstream.base_url)}")
    else:
        _line(console, "answers", "the embedded answerer, which quotes the documents")
        _line(console, "", f"To add a model: {ADD_A_MODEL}")
    if config.plugins:
        _line(console, "plugins", ", ".join(plugin.label() for plugin in config.plugins))
    if not config.knowledge:
        _line(console, "documents", "not searched (knowledge is off)")
    if config.insecure and not config.identified and not config.loopback:
        console.print(Text("  Anybody who reaches this address may ask: no API key is set.", "red"))


_SURVIVES = {"memory": "nothing", "process": "a killed process", "power": "a power cut"}


def _line(console: Console, label: str, text: str) -> None:
    console.print(Text.assemble((f"  {label:<10}", "dim"), printable(text)))
