"""Transforms of plugins: prompts before they are asked, answers before they are stored."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

from fairlead import plugins as api
from fairlead.errors import Moderated
from fairlead.events.model import (
    MAIN_PART,
    NO_EXTRA,
    Done,
    Event,
    Part,
    Reasoning,
    Reset,
    Token,
    Tool,
)
from fairlead.plugins import Chunk, Kind
from fairlead.policy.caller import Caller
from fairlead.ports.provider import Turn
from fairlead.ports.transform import StreamTransform
from fairlead.server.guard import Guard, is_text

#: Characters that a prompt may grow by, and turns that it may have.
_GROWTH, _TURNS = 1_000_000, 10_000
#: Characters that may come of one piece of an answer, beside four for each of its own.
_BURST = 16_384

_KINDS: dict[type[Event], Kind] = {Token: "text", Reasoning: "reasoning", Tool: "tool"}


class PluginTransforms:
    """Implements :class:`~fairlead.ports.transform.Transforms`: one plugin after the other."""

    def __init__(
        self,
        prompts: Sequence[tuple[api.PromptTransform, Guard]],
        streams: Sequence[tuple[api.StreamTransform, Guard]],
    ) -> None:
        self._prompts = tuple(prompts)
        self._streams = tuple(streams)

    async def prompt(self, turns: tuple[Turn, ...], caller: Caller) -> tuple[Turn, ...]:
        """The dialogue as the plugins leave it."""
        for plugin, guard in self._prompts:
            found = await guard.call(plugin.prompt, turns, caller, allowed=(Moderated,))
            if not isinstance(found, list | tuple) or not all(_is_turn(turn) for turn in found):
                raise guard.failed("prompt gave something else than a list of Turn")
            if not found or not any(turn.role == "user" for turn in found):
                raise guard.failed("prompt gave a dialogue without a question")
            if len(found) > _TURNS or _size(found) > _size(turns) + _GROWTH:
                raise guard.failed(f"prompt gave {len(found)} turns of {_size(found)} characters")
            turns = tuple(found)
        return turns

    def stream(self, caller: Caller) -> StreamTransform | None:
        """What an answer passes through."""
        return PluginStream(self._streams, caller) if self._streams else None


def _is_turn(turn: object) -> bool:
    return isinstance(turn, Turn) and is_text(turn.text)


def _size(turns: Sequence[Turn]) -> int:
    return sum(len(turn.text) for turn in turns)


class PluginStream:
    """Implements :class:`~fairlead.ports.transform.StreamTransform`."""

    def __init__(
        self, plugins: Sequence[tuple[api.StreamTransform, Guard]], caller: Caller
    ) -> None:
        self._plugins = plugins
        self._caller = caller
        self._begin()

    def _begin(self) -> None:
        self._stages = [_Stage(plugin, guard, self._caller) for plugin, guard in self._plugins]
        self._taken = frozenset[str]().union(*(stage.kinds for stage in self._stages))
        #: By part, the event that its text comes in.
        self._parts: dict[int, type[Token] | type[Reasoning] | type[Tool]] = {}

    async def write(self, event: Event) -> Sequence[Event]:
        """What may be written in the event's place."""
        match event:
            case Token() | Reasoning() | Tool():
                kind = _KINDS[type(event)]
                if kind not in self._taken:
                    return (event,)
                self._parts[event.part] = type(event)
                text = await self._through(kind, event.part, event.text)
                if not text:
                    return ()
                if text == event.text and event.extra is NO_EXTRA:
                    return (event,)
                # What the upstream said besides may repeat the text: probabilities of tokens, say.
                return (type(event)(event.at, text, event.part),)
            case Part(state="close"):
                return (*await self._rest(event.part, event.at), event)
            case Done():
                left = await self._all(event.at)
                ended = Done(event.at, event.status, event.reason, event.finish)
                return (*left, ended if self._taken else event)
            case Reset():
                self._begin()
                self._parts[MAIN_PART] = Token
                text = await self._through("text", MAIN_PART, event.text) if event.text else ""
                return (Reset(event.at, event.reason, text),)
            case _:
                return (event,)

    async def end(self, at: int) -> Sequence[Event]:
        """What is left."""
        return await self._all(at)

    async def _all(self, at: int) -> list[Event]:
        return [event for part in tuple(self._parts) for event in await self._rest(part, at)]

    async def _rest(self, part: int, at: int) -> list[Event]:
        """The end of a part."""
        delta = self._parts.pop(part, None)
        if delta is None:
            return []
        text = await self._through(_KINDS[delta], part, "", last=True)
        return [delta(at, text, part)] if text else []

    async def _through(self, kind: Kind, part: int, text: str, *, last: bool = False) -> str:
        for stage in self._stages:
            if kind in stage.kinds and (text or last):
                text = await stage.write(text, kind, part, last)
        return text


class _Stage:
    """One plugin in one answer; what it holds back is held here."""

    __slots__ = ("_guard", "_held", "_most", "_plugin", "_waits", "kinds")

    def __init__(self, plugin: api.StreamTransform, guard: Guard, caller: Caller) -> None:
        made = guard.run(plugin.begin, caller)
        if not isinstance(made, api.StreamTransform):
            raise guard.failed(f"begin gave {type(made).__name__}, no StreamTransform")
        self._plugin = made
        self._guard = guard
        self._most = made.max_held
        self._waits = inspect.iscoroutinefunction(made.write)
        self.kinds = frozenset(made.kinds)
        self._held: dict[int, str] = {}

    async def write(self, text: str, kind: Kind, part: int, last: bool) -> str:
        guard = self._guard
        whole = self._held.pop(part, "") + text
        chunk = Chunk(whole, kind, part, last)
        if self._waits:
            made = await guard.call(self._plugin.write, chunk, allowed=(Moderated,))
        else:
            made = guard.run(self._plugin.write, chunk, allowed=(Moderated,))
        if type(made) is str:
            shown, held = made, ""
        elif type(made) is tuple and len(made) == 2 and all(type(each) is str for each in made):
            shown, held = made
        else:
            raise guard.failed(f"write gave {type(made).__name__}, no text and no pair of texts")
        if len(held) > self._most:
            raise guard.failed(f"write holds back {len(held)} characters; at most {self._most}")
        if held and last:
            raise guard.failed("write holds back something at the end of a part")
        if len(shown) > _BURST + 4 * len(whole):
            raise guard.failed(f"write made {len(shown)} characters of {len(whole)}")
        if held:
            self._held[part] = held
        return shown
