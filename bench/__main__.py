"""``python -m bench [workload …]``: measure, print, draw."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import uvicorn
from rich.console import Console

from bench import (
    budget,
    compare,
    compression,
    fanout,
    gateway,
    growth,
    idle,
    paced,
    relay,
    soak,
    steps,
    storm,
    whole,
)
from bench.chart import svg
from bench.markdown import put
from bench.options import Options
from bench.processes import Failed, raise_descriptor_limit
from bench.report import show
from bench.table import Table

RESULTS = Path(__file__).parent / "results"
WORKLOADS: dict[str, Callable[[Options], Table]] = {
    "paced": paced.run,
    "fan-out": fanout.run,
    "compare": compare.run,
    "whole": whole.run,
    "relay": relay.run,
    "steps": steps.run,
    "storm": storm.run,
    "idle": idle.run,
    "growth": growth.run,
    "soak": soak.run,
    "budget": budget.run,
    "compression": compression.run,
    "gateway": gateway.run,
}
_USUAL = ["paced", "fan-out", "compare", "whole", "relay", "storm", "idle"]
#: Columns that the widest table needs.
_WIDTH = 140


def main() -> None:
    """Run the workloads asked for; exit with 1 if a bar was missed or nothing could be measured."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure Fairlead beside other servers, on this machine, in one run.",
    )
    parser.add_argument("workloads", nargs="*", metavar="workload", help=", ".join(WORKLOADS))
    parser.add_argument("--quick", action="store_true", help="a rough look: 3 s, few connections")
    parser.add_argument("--seconds", type=float, help="how long each server is measured (10)")
    parser.add_argument("--connections", type=int, default=0, help="instead of the workload's own")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of chart and figures")
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="bring the tables in this document up to date"
    )
    arguments = parser.parse_args()
    for name in arguments.workloads:
        if name not in WORKLOADS:
            parser.error(f"there is no workload {name!r}; there are: {', '.join(WORKLOADS)}")
    options = Options(
        seconds=arguments.seconds or (3.0 if arguments.quick else 10.0),
        warmup=1.5 if arguments.quick else 5.0,
        connections=arguments.connections,
        quick=arguments.quick,
    )
    raise_descriptor_limit()
    console = Console()
    console.width = max(console.width, _WIDTH)
    console.print(_about(), style="dim")
    _warn_of_company(console)
    tables: list[Table] = []
    failed = False
    for name in arguments.workloads or _USUAL:
        console.print(f"measuring {name} …", style="dim")
        try:
            table = WORKLOADS[name](options)
        except Failed as failure:
            console.print(f"{name} could not be measured: {failure}", style="bold red")
            failed = True
            continue
        show(table, console)
        tables.append(table)
        failed = failed or not all(check.met for check in table.checks)
    if tables:
        _keep(tables, arguments.results, console)
        if arguments.markdown:
            command = " ".join(["python -m bench", *sys.argv[1:]])
            for name in put(arguments.markdown, tables, _about(), command):
                console.print(f"{arguments.markdown} has no place for {name}", style="yellow")
    sys.exit(1 if failed else 0)


def _keep(tables: list[Table], folder: Path, console: Console) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "chart.svg").write_text(svg(tables, _about()))
    (folder / "figures.json").write_bytes(
        msgspec.json.format(msgspec.json.encode({"about": _about(), "tables": tables}), indent=2)
    )
    console.print(f"\nchart and figures: {folder}", style="dim")


def _about() -> str:
    day = time.strftime("%Y-%m-%d")
    return (
        f"{day}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, uvicorn {uvicorn.__version__}, loopback"
    )


def _warn_of_company(console: Console) -> None:
    busy = os.getloadavg()[0]
    if busy > 0.5:
        console.print(
            f"The machine is busy (load {busy:.1f}): figures will be worse than they are; "
            "ratios suffer less.",
            style="yellow",
        )


if __name__ == "__main__":
    main()
