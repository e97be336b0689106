"""The settings of a Realtime session and of its responses: what may be said, and what it means to a
provider.

Fields that we do not know are refused, as the vendor refuses them: a session that was set up for
something else would otherwise look as if it were.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from fairlead.errors import BadRequest
from fairlead.protocols.realtime_items import Given

#: What a session is that says nothing of itself.
DEFAULTS: dict[str, Any] = {
    "output_modalities": ["text"],
    "instructions": "",
    "tools": [],
    "tool_choice": "auto",
    "max_output_tokens": "inf",
    "temperature": None,
    "parallel_tool_calls": None,
    "reasoning": None,
    "audio": None,
    "include": None,
    "prompt": None,
    "tracing": None,
    "truncation": "auto",
}
#: What of these a response repeats.
_REPEATED = ("output_modalities", "max_output_tokens")
#: Settings that are called the same in Chat Completions.
_SAME = ("temperature", "parallel_tool_calls")

_MAX_PAIRS, _MAX_KEY, _MAX_VALUE = 16, 64, 512
_MAX_TOOLS = 1000

_Name = Annotated[str, msgspec.Meta(max_length=256)]


class _Tool(msgspec.Struct):
    type: str
    name: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None


class _Choice(msgspec.Struct):
    type: str
    name: str | None = None


class _Reasoning(msgspec.Struct):
    effort: str | None = None


class Settings(msgspec.Struct, forbid_unknown_fields=True):
    """What ``session.update`` and a client secret say."""

    type: str | UnsetType = UNSET
    model: _Name | UnsetType | None = UNSET
    instructions: str | UnsetType | None = UNSET
    tools: Annotated[list[_Tool], msgspec.Meta(max_length=_MAX_TOOLS)] | UnsetType | None = UNSET
    tool_choice: str | _Choice | UnsetType | None = UNSET
    output_modalities: list[str] | UnsetType | None = UNSET
    max_output_tokens: int | str | UnsetType | None = UNSET
    temperature: float | UnsetType | None = UNSET
    parallel_tool_calls: bool | UnsetType | None = UNSET
    reasoning: _Reasoning | UnsetType | None = UNSET
    audio: dict[str, Any] | UnsetType | None = UNSET
    include: list[str] | UnsetType | None = UNSET
    prompt: dict[str, Any] | UnsetType | None = UNSET
    tracing: str | dict[str, Any] | UnsetType | None = UNSET
    truncation: str | dict[str, Any] | UnsetType | None = UNSET

    def given(self, within: str) -> dict[str, Any]:
        """What is said, for :data:`DEFAULTS` to be replaced by. ``within`` names, in an error, what
        the fields are of. Raises :class:`~fairlead.errors.BadRequest`."""
        self._check(within)
        made: dict[str, Any] = {}
        for name, default in DEFAULTS.items():
            value = getattr(self, name)
            if value is not UNSET:
                value = msgspec.to_builtins(value)
                made[name] = default if value is None else value
        if "tools" in made:
            made["tools"] = [_present(tool) for tool in made["tools"]]
        return made

    def _check(self, within: str) -> None:
        if self.type is not UNSET and self.type != "realtime":
            raise BadRequest(
                f"'{within}.type' must be 'realtime', the only kind of session here",
                param=f"{within}.type",
            )
        if self.output_modalities and self.output_modalities != ["text"]:
            raise BadRequest(
                f"'{within}.output_modalities' must be ['text']: this model answers in text alone",
                param=f"{within}.output_modalities",
            )
        if self.prompt:
            raise BadRequest(
                f"'{within}.prompt': prompts are not kept here: send 'instructions'",
                param=f"{within}.prompt",
            )
        most = self.max_output_tokens
        if (isinstance(most, str) and most != "inf") or (isinstance(most, int) and most < 1):
            raise BadRequest(
                f"'{within}.max_output_tokens' must be a whole number from 1 on, or 'inf'",
                param=f"{within}.max_output_tokens",
            )
        for number, tool in enumerate(self.tools or ()):
            where = f"{within}.tools[{number}]"
            if tool.type != "function":
                raise BadRequest(
                    f"'{where}': only tools of the type 'function' can be used here, "
                    f"not {tool.type[:40]!r}",
                    param=f"{where}.type",
                )
            if not tool.name:
                raise BadRequest(f"'{where}' has no 'name'", param=f"{where}.name")
        self._check_choice(within)

    def _check_choice(self, within: str) -> None:
        choice = self.tool_choice
        if isinstance(choice, str) and choice not in ("auto", "none", "required"):
            fine = False
        elif isinstance(choice, _Choice):
            fine = choice.type == "function" and bool(choice.name)
        else:
            fine = True
        if not fine:
            raise BadRequest(
                f"'{within}.tool_choice' must be 'auto', 'none', 'required', or a function's "
                "type and name",
                param=f"{within}.tool_choice",
            )


class Wanted(Settings, forbid_unknown_fields=True):
    """What ``response.create`` says: settings of one response, and what it answers."""

    conversation: str | UnsetType | None = UNSET
    input: list[Given] | UnsetType | None = UNSET
    metadata: dict[str, str] | UnsetType | None = UNSET

    @property
    def apart(self) -> bool:
        """Whether the conversation is not to know of it. Raises
        :class:`~fairlead.errors.BadRequest` for another conversation than there is."""
        if self.conversation in (UNSET, None, "auto"):
            return False
        if self.conversation == "none":
            return True
        raise BadRequest(
            "'response.conversation' must be 'auto' or 'none'", param="response.conversation"
        )

    def labels(self) -> dict[str, str] | None:
        """The ``metadata``. Raises :class:`~fairlead.errors.BadRequest`."""
        labels = self.metadata or None
        if labels and (
            len(labels) > _MAX_PAIRS
            or any(len(key) > _MAX_KEY or len(text) > _MAX_VALUE for key, text in labels.items())
        ):
            raise BadRequest(
                f"'response.metadata' holds at most {_MAX_PAIRS} pairs, keys of {_MAX_KEY} and "
                f"values of {_MAX_VALUE} characters",
                param="response.metadata",
            )
        return labels


def repeated(settings: dict[str, Any]) -> dict[str, Any]:
    """What of the settings stands in a response."""
    return {name: settings[name] for name in _REPEATED}


def parameters(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings in the words of Chat Completions."""
    made = {name: settings[name] for name in _SAME if settings[name] is not None}
    if settings["max_output_tokens"] != "inf":
        made["max_completion_tokens"] = settings["max_output_tokens"]
    effort = (settings["reasoning"] or {}).get("effort")
    if effort is not None:
        made["reasoning_effort"] = effort
    if settings["tools"]:
        made["tools"] = [
            {
                "type": "function",
                "function": {name: value for name, value in tool.items() if name != "type"},
            }
            for tool in settings["tools"]
        ]
        choice = settings["tool_choice"]
        if isinstance(choice, dict):
            choice = {"type": "function", "function": {"name": choice["name"]}}
        made["tool_choice"] = choice
    return made


def _present(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
