"""The events of a generation stream: a closed union of frozen values.

A record of a generation stream holds one event. Deltas (``token``, ``reasoning``, ``tool``) name
the part they extend. Part 0 is the plain text of the answer's first choice and is open from the
beginning; every other part is opened by a ``part`` event. ``at`` is the time of the event in
milliseconds since 1970 (UTC), by the clock of the server that wrote it.

``extra`` holds what an upstream sent and we do not know, as raw JSON of an object, for readers of
the same dialect.
"""

from __future__ import annotations

from typing import Literal

import msgspec

PartKind = Literal["text", "reasoning", "tool_call", "media"]

#: The part that is open from the beginning: text of choice 0.
MAIN_PART = 0

#: No ``extra``. Always this object: encoding leaves out a default only if it is the very same one,
#: and another empty Raw would be written as nothing at all, which is not JSON.
NO_EXTRA = msgspec.Raw()


# What is frozen and holds only what is frozen too is in no cycle: no collector need look at it.
class _Base(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", gc=False):
    pass


class Asked(_Base, frozen=True, tag="asked"):
    """What was asked, for dialects that show it again with the answer: of ``dialect`` the
    ``fields`` that stand in each answer (a JSON object) and the ``input`` (a JSON array). It is the
    first event, if there is one, and no reader is shown it in any other dialect."""

    at: int
    dialect: str
    fields: msgspec.Raw
    input: msgspec.Raw


class Mark(_Base, frozen=True, tag="mark"):
    """How the work can be gone on with from here, should its process end: ``upstream`` names who
    does it, ``place`` is that one's own (a JSON object). It holds for what stands before it, until
    the next one; one that names nobody takes those before back. No reader is shown it."""

    at: int
    upstream: str = ""
    place: msgspec.Raw = NO_EXTRA


class Thinking(_Base, frozen=True, tag="thinking"):
    """What is being done before (or between) pieces of the answer: ``status`` is a word for
    programs (``queued``, ``retrieving``, ``reading``, ``writing``), ``message`` one for people.
    ``provider`` and ``model``: who answers, where that was chosen among several. ``position``: the
    place in the queue, from 1; 0: not in one."""

    at: int
    status: str
    message: str = ""
    provider: str = ""
    model: str = ""
    position: int = 0


class Source(msgspec.Struct, frozen=True, omit_defaults=True):
    """A passage that the answer may rest on, small: its text is fetched by ``id``.

    ``span``: first and past-the-last character in the document's text; ``score``: higher is better,
    comparable within one answer only; ``snippet``: a few words around what matched.
    """

    id: str
    title: str
    address: str
    span: tuple[int, int]
    score: float
    snippet: str
    heading: str = ""


class Sources(_Base, frozen=True, tag="sources"):
    """What retrieval found, best first; empty when it found nothing."""

    at: int
    sources: tuple[Source, ...] = ()


class Part(_Base, frozen=True, tag="part"):
    """A part opens or closes. ``choice`` counts alternative answers; ``call_id`` and ``name``
    belong to tool calls; ``signature`` to reasoning; ``finish`` is the upstream's word for why the
    part ended, on closing."""

    at: int
    part: int
    state: Literal["open", "close"]
    type: PartKind = "text"
    choice: int = 0
    call_id: str = ""
    name: str = ""
    signature: str = ""
    finish: str = ""


class Token(_Base, frozen=True, tag="token"):
    """A piece of text of the answer."""

    at: int
    text: str
    part: int = MAIN_PART
    extra: msgspec.Raw = NO_EXTRA


class Reasoning(_Base, frozen=True, tag="reasoning"):
    """A piece of the model's reasoning."""

    at: int
    text: str
    part: int
    extra: msgspec.Raw = NO_EXTRA


class Tool(_Base, frozen=True, tag="tool"):
    """A piece of a tool call's arguments (JSON text that need not be whole)."""

    at: int
    text: str
    part: int
    extra: msgspec.Raw = NO_EXTRA


class Progress(_Base, frozen=True, tag="progress"):
    """How far a long task has come: ``fraction`` 0 to 1, or None where it cannot be known."""

    at: int
    message: str = ""
    fraction: float | None = None


class Media(_Base, frozen=True, tag="media"):
    """A piece of binary output: ``data`` here (base64 in JSON), or at ``address`` when large."""

    at: int
    part: int
    content_type: str
    data: bytes = b""
    address: str = ""


class BudgetLeft(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is ``remaining`` of a budget, in its ``unit`` (``tokens``, ``requests``, or a currency),
    until it refills (``refills_at``: seconds since 1970, UTC)."""

    name: str
    remaining: int | float
    unit: str
    refills_at: int


class Usage(_Base, frozen=True, tag="usage"):
    """What the generation cost, in tokens; ``estimated`` if the provider did not say. Of the
    ``input_tokens`` ``cached_tokens`` were cheaper for having been asked before. ``budgets``: what
    is left of those that the generation was charged to."""

    at: int
    input_tokens: int = 0
    output_tokens: int = 0
    estimated: bool = False
    model: str = ""
    extra: msgspec.Raw = NO_EXTRA
    cached_tokens: int = 0
    budgets: tuple[BudgetLeft, ...] = ()


class Reset(_Base, frozen=True, tag="reset"):
    """What a reader has of the answer's text is no longer true: ``text`` replaces it."""

    at: int
    reason: str
    text: str = ""


class Done(_Base, frozen=True, tag="done"):
    """The generation ended well: it completed, or somebody stopped it (``reason`` says why:
    ``stop`` by a caller, ``abandoned`` when nobody watched). ``finish`` is the upstream's own word
    for a completed answer (``stop``, ``length``, …)."""

    at: int
    status: Literal["completed", "stopped"] = "completed"
    reason: str = ""
    finish: str = ""
    extra: msgspec.Raw = NO_EXTRA


class Error(_Base, frozen=True, tag="error"):
    """The generation ended badly; what was written before stays. ``code`` as in
    :mod:`fairlead.errors`; ``retry_after`` in seconds where known; ``budget``: the one that is
    used up, where that is why; ``vendor_code``: the upstream's own word, where it gave one."""

    at: int
    error: str
    code: str
    retryable: bool = False
    retry_after: float | None = None
    budget: str = ""
    vendor_code: str = ""


class Relayed(_Base, frozen=True, tag="relayed"):
    """An event of another application's event stream: its ``data`` (UTF-8), its type (``event``;
    empty: ``message``), its own ``id`` (empty: none, or one that cannot be handed on), and the time
    before reconnecting that it asks for, in milliseconds. Its record is not JSON but its lines in
    event-stream format, so that any text can be kept; the time is not."""

    at: int
    data: bytes
    event: str = ""
    id: str = ""
    retry: int | None = None


class Unknown(msgspec.Struct, frozen=True):
    """An event of a kind that this version does not know: kept in the log, passed over here."""

    kind: str
    raw: bytes


Delta = Token | Reasoning | Tool
Terminal = Done | Error
Event = (
    Asked
    | Mark
    | Thinking
    | Sources
    | Part
    | Token
    | Reasoning
    | Tool
    | Progress
    | Media
    | Usage
    | Reset
    | Done
    | Error
    | Relayed
)
