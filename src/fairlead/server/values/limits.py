"""How much there may be of anything."""

from __future__ import annotations

from typing import Annotated

from fairlead.policy.attachments import MEDIA_TYPE
from fairlead.server.tables import budget, consumer
from fairlead.server.values.value import BYTES, SECONDS, Group

_says = Group("Limits")


def _check_types(types: tuple[str, ...]) -> str:
    for type in types:
        if not MEDIA_TYPE.fullmatch(type):
            return f"{type[:80]!r} is no media type; write them such as image/png"
    return ""


MaxReaders = Annotated[int, _says("Connections that read answers at once.", ge=1, le=10_000_000)]
MaxReadersEach = Annotated[int, _says("Of these, one consumer's; 0: no cap.", ge=0, le=10_000_000)]
MaxSocketsEach = Annotated[
    int,
    _says(
        "WebSockets of one consumer at once, whether they read or not; 0: no cap.",
        ge=0,
        le=10_000_000,
    ),
]
MaxGenerations = Annotated[int, _says("Answers being written at once.", ge=1, le=1_000_000)]
MaxGenerationsEach = Annotated[
    int,
    _says(
        "Answers of one consumer at once; 0: all there is room for.",
        ge=0,
        le=1_000_000,
    ),
]
Queue = Annotated[int, _says("Questions that wait for room; 0: none does.", ge=0, le=100_000)]
QueueEach = Annotated[int, _says("Of these, one consumer's; 0: as many as all.", ge=0, le=100_000)]
QueueWait = Annotated[float, _says("How long a question waits for room.", gt=0, **SECONDS)]
Consumers = Annotated[
    tuple[consumer.Consumer, ...],
    _says.table("[[consumers]]", "Consumers that get another share than the rest."),
]
Budgets = Annotated[
    tuple[budget.BudgetTable, ...],
    _says.table(
        "[[budgets]]",
        "How many tokens and requests, and how much money, may be used in which time.",
    ),
]
Prices = Annotated[
    tuple[budget.PriceTable, ...],
    _says.table(
        "[[prices]]", "What models cost, for budgets of money and for the ledger of usage."
    ),
]
Tokenizer = Annotated[
    str,
    _says(
        "File with a vocabulary of tiktoken to count prompts by; none: by their characters.",
    ),
]
MaxBodyBytes = Annotated[int, _says("Size of a request's body or of a socket's message.", **BYTES)]
MaxPromptChars = Annotated[int, _says("Characters of one message.", ge=1, le=100_000_000)]
MaxEventBytes = Annotated[int, _says("Size of one event.", **BYTES)]
AttachmentTypes = Annotated[
    tuple[str, ...],
    _says("Media types of attachments that a question may have.", check=_check_types),
]
MaxAttachments = Annotated[
    int, _says("Attachments of one question; 0: none are taken.", ge=0, le=1000)
]
MaxAttachmentBytes = Annotated[int, _says("Size of one attachment.", **BYTES)]
MaxAttachedBytes = Annotated[int, _says("Size of one question's attachments together.", **BYTES)]
Deadline = Annotated[float, _says("How long one answer may take.", gt=0, **SECONDS)]
OrphanWindow = Annotated[
    float, _says("How long an answer goes on that nobody watches.", ge=0, **SECONDS)
]
PageBackground = Annotated[
    bool, _says("The page's answers go on to their end, though nobody watches.")
]
