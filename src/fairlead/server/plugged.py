"""Plugins as the ports have it: each is asked under its guard, and what it gives is looked at."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncGenerator, Sequence

import msgspec

from fairlead import plugins as api
from fairlead.engine.models import Model
from fairlead.errors import FairleadError, Forbidden, NotFound, TooMany, Unauthenticated
from fairlead.events.pieces import Piece
from fairlead.identity.chain import PLUGIN, Recognise
from fairlead.policy.budgets import KeyPart
from fairlead.policy.caller import Caller
from fairlead.policy.facts import NOWHERE, Facts
from fairlead.ports.knowledge import Passage
from fairlead.ports.passages import Passages
from fairlead.ports.provider import GenerationRequest
from fairlead.primitives import base32
from fairlead.providers.generator import GeneratorProvider
from fairlead.server.entrance import Judge
from fairlead.server.guard import Guard, is_number, is_text

#: Characters of what a plugin says: of a name or key, of a line for people, of a passage.
_NAME, _LINE, _TEXT = 256, 2000, 50_000
_SNIPPET = 200


def recognise(plugin: api.Identity, guard: Guard) -> Recognise:
    """Whom the plugin names."""

    async def recognised(credential: str) -> Caller | None:
        found = await guard.call(plugin.identify, credential, allowed=(Unauthenticated,))
        if found is None:
            return None
        if not isinstance(found, Caller):
            raise guard.failed(f"identify gave {type(found).__name__}, no Caller")
        if wrong := _wrong(found):
            raise guard.failed(f"identify gave a Caller {wrong}")
        # Nobody else may be asked whether it has been revoked.
        public = f"{PLUGIN}{guard.name}:{found.credential}"
        return msgspec.structs.replace(found, credential=public, facts=NOWHERE)

    return recognised


def _wrong(caller: Caller) -> str:
    if not is_text(caller.consumer, _NAME) or not caller.consumer.isprintable():
        return f"whose consumer is no printable text of at most {_NAME} characters"
    if not caller.consumer:
        return "without a consumer"
    if not _is_set_of_texts(caller.scopes):
        return "whose scopes are no set of texts"
    if caller.expires_at is not None and not is_number(caller.expires_at):
        return "whose expires_at is no time"
    if not is_text(caller.credential, _NAME):
        return f"whose credential is no text of at most {_NAME} characters"
    claims: object = caller.claims
    if not isinstance(claims, dict) or not all(map(is_text, claims.values())):
        return "whose claims are no texts by name"
    return ""


def _is_set_of_texts(value: object) -> bool:
    return isinstance(value, frozenset) and all(map(is_text, value))


def judge(plugin: api.Rule, guard: Guard) -> Judge:
    """What the rule says of a request, as the error that it is answered with."""

    async def judged(facts: Facts, caller: Caller | None) -> FairleadError | None:
        found = await guard.call(plugin.judge, facts, caller)
        if found is None:
            return None
        if not isinstance(found, api.Refusal) or not is_text(found.reason):
            raise guard.failed(f"judge gave {type(found).__name__}, no Refusal")
        reason = found.reason[:_LINE] or f"the rule {guard.name!r} does not let this request in"
        if found.retry_after is None:
            return Forbidden(reason, rule=guard.name)
        if not is_number(found.retry_after) or not 0 <= found.retry_after < 1e9:
            raise guard.failed("judge gave a Refusal whose retry_after is no number of seconds")
        return TooMany(reason, retry_after=found.retry_after, rule=guard.name)

    return judged


def key_part(plugin: api.BudgetKey, guard: Guard) -> KeyPart:
    """What the plugin says, as a part of budgets' keys."""

    def part(caller: Caller, model: str) -> str:
        found: object = guard.run(plugin.key, caller, caller.facts, model)
        if not isinstance(found, str):
            raise guard.failed(f"key gave {type(found).__name__}, no text")
        return found

    return part


def model(plugin: api.Provider, guard: Guard) -> Model:
    """The model that the plugin answers as."""

    async def agent(request: GenerationRequest) -> AsyncGenerator[Piece, None]:
        async for piece in guard.pieces(plugin.answer(request)):
            if not _is_piece(piece):
                raise guard.failed(f"answer yielded {type(piece).__name__}, no piece of an answer")
            yield piece

    provider = GeneratorProvider(
        guard.name, agent, clock=_now_ms, context_tokens=plugin.context_tokens
    )
    return Model(guard.name, provider, guard.name, searches=plugin.searches)


class PluginKnowledge:
    """Implements :class:`~fairlead.ports.knowledge.Knowledge` with a plugin. What it finds is kept
    in ``passages``, by ids that begin with its name."""

    def __init__(self, plugin: api.Knowledge, guard: Guard, passages: Passages) -> None:
        self._plugin = plugin
        self._guard = guard
        self._passages = passages

    async def open(self) -> None:
        """There is nothing to open: the plugin is open."""

    async def close(self) -> None:
        """There is nothing to free."""

    async def retrieve(self, question: str, limit: int = 5, before: str = "") -> list[Passage]:
        """What the plugin finds."""
        found = await self._guard.call(self._plugin.retrieve, question, limit)
        if not isinstance(found, Sequence) or not all(isinstance(p, api.Passage) for p in found):
            raise self._guard.failed("retrieve gave something else than a list of Passage")
        made = [self._passage(one) for one in found[:limit]]
        await self._passages.keep(made)
        return made

    async def passage(self, id: str, around: int = 0) -> Passage:
        """One that was found before. What surrounds it is not known."""
        found = await self._passages.find(id)
        if found is None:
            raise NotFound("there is no such passage, or it is no longer kept")
        return found

    def _passage(self, found: api.Passage) -> Passage:
        texts = (found.text, found.title, found.address, found.heading, found.snippet, found.id)
        if not all(map(is_text, texts)) or not found.text:
            raise self._guard.failed("retrieve gave a Passage without text")
        if not is_number(found.score):
            raise self._guard.failed("retrieve gave a Passage whose score is no number")
        text = found.text[:_TEXT]
        # By what it says: the same page that says something else tomorrow is another passage.
        said = "\0".join((found.id, found.address, found.heading, text))
        digest = hashlib.sha256(said.encode("utf-8", "surrogatepass")).digest()
        snippet = found.snippet[:_LINE] or " ".join(text[: 2 * _SNIPPET].split())[:_SNIPPET]
        return Passage(
            id=f"{self._guard.name}:{base32(digest)[:26]}",
            document=f"{self._guard.name}:{found.id or found.address}"[:_LINE],
            title=found.title[:_LINE] or found.address[:_LINE] or self._guard.name,
            address=found.address[:_LINE],
            heading=found.heading[:_LINE],
            span=(0, len(text)),
            text=text,
            snippet=snippet,
            score=float(found.score),
        )


def _is_piece(value: object) -> bool:
    """Whether an answer can be made of it."""
    return isinstance(value, Piece)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
