"""Merging adjacent deltas when they are read.

Merging happens at read time only, within one part and epoch, and the merged event stands under the
position of its last record. What is in the log never changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fairlead.events.model import Event, Reasoning, Token, Tool, Unknown


def mergeable(a: Event | Unknown, b: Event | Unknown) -> bool:
    """Whether ``b``, which follows ``a``, continues the same piece of the same part."""
    return (
        type(a) is type(b)
        and isinstance(a, Token | Reasoning | Tool)
        and isinstance(b, Token | Reasoning | Tool)
        and a.part == b.part
        and not bytes(a.extra)
        and not bytes(b.extra)
    )


def merge(events: Iterable[Event | Unknown], max_chars: int = 16_384) -> Iterator[Event | Unknown]:
    """Join adjacent deltas; a joined piece begins no new record after ``max_chars`` characters."""
    run: list[Token | Reasoning | Tool] = []
    size = 0
    for event in events:
        if run and (size >= max_chars or not mergeable(run[-1], event)):
            yield _joined(run)
            run, size = [], 0
        if isinstance(event, Token | Reasoning | Tool):
            run.append(event)
            size += len(event.text)
        else:
            yield event
    if run:
        yield _joined(run)


def _joined(run: list[Token | Reasoning | Tool]) -> Event:
    if len(run) == 1:
        return run[0]
    last = run[-1]
    return type(last)(at=last.at, text="".join(e.text for e in run), part=last.part)
