"""What an upstream is sent: the body of ``POST /responses``. Pure."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from fairlead.dialects import openai_responses
from fairlead.errors import BadRequest
from fairlead.events.attachment import is_text
from fairlead.ports.provider import GenerationRequest, Turn
from fairlead.providers import prompt

#: The dialects whose requests are sent on as they are.
SPEAKS = (openai_responses.NAME,)

#: Ids of items that this server has given, which nobody else knows: by their number in a request,
#: or by a stream of ours.
_OURS = re.compile(r"[a-z_]+_(\d{1,5}|[0-9a-z]{26}_\d+)")
#: Settings of Chat Completions that have another name here.
_RENAMED = {"max_tokens": "max_output_tokens", "max_completion_tokens": "max_output_tokens"}
_LOGPROBS = "message.output_text.logprobs"

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_any = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode


class ResponsesQuestion:
    """A request in the upstream's words. ``model`` is the upstream's default one. ``background``:
    whether the upstream is to write on when the connection breaks; a request that is not to be
    stored there cannot be.

    What came in this dialect keeps its own words; of their fields only those are replaced that we
    depend on. Raises :class:`~fairlead.errors.BadRequest` if they cannot be read.
    """

    def __init__(self, request: GenerationRequest, *, model: str, background: bool) -> None:
        self.model = request.model or model
        self.once = request.once
        self.headers = request.headers
        self.cites = not request.passages
        self._request = request
        if request.vendor is not None and request.vendor.dialect in SPEAKS:
            fields = self._own_words(request.vendor.body)
        else:
            fields = _in_its_words(request.parameters)
            instructions, fields["input"] = _input(request.turns)
            if instructions:
                fields["instructions"] = instructions
        if request.passages:
            given = fields.get("instructions")
            said = given if isinstance(given, str) else ""
            quoted = prompt.quoted(request.passages)
            fields["instructions"] = f"{said}\n\n{quoted}" if said else quoted
        self.background = background and fields.get("store") is not False
        fields |= {"model": self.model, "stream": True}
        self.most = request.most
        if request.most:
            fields["max_output_tokens"] = request.most
        if self.background:
            fields |= {"background": True, "store": True}
        else:
            # Whether its reader stays is Fairlead's business.
            fields.pop("background", None)
        self.body = _encode(fields)

    def estimate_tokens(self) -> int:
        """About how many tokens the messages are."""
        return prompt.estimate_tokens(prompt.messages(self._request.turns, self._request.passages))

    def _own_words(self, body: bytes) -> dict[str, Any]:
        try:
            fields: dict[str, Any] = {**_fields.decode(body)}
            for name in ("store", "instructions"):
                if name in fields:
                    fields[name] = _any.decode(fields[name])
            if "input" in fields and bytes(fields["input"])[:1] == b"[":
                fields["input"] = [_without_our_id(item) for item in _items.decode(fields["input"])]
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BadRequest(f"the request cannot be sent on: {error}") from None
        return fields


def _without_our_id(item: dict[str, msgspec.Raw]) -> dict[str, msgspec.Raw]:
    try:
        id = _any.decode(item.get("id", b'""'))
        kind = _any.decode(item.get("type", b'""'))
    except msgspec.MsgspecError:
        return item
    if kind == "item_reference" or not isinstance(id, str) or not _OURS.fullmatch(id):
        return item
    return {name: value for name, value in item.items() if name != "id"}


def _in_its_words(parameters: dict[str, Any]) -> dict[str, Any]:
    """The settings, which are in the words of Chat Completions. What has no other name here is sent
    as it is: whether it may be is for the upstream to say."""
    made: dict[str, Any] = {}
    text: dict[str, Any] = {}
    include: list[str] = []
    for name, value in parameters.items():
        match name:
            case "stream" | "stream_options" | "messages":
                pass
            case "reasoning_effort":
                made["reasoning"] = {"effort": value}
            case "verbosity":
                text["verbosity"] = value
            case "response_format":
                text["format"] = _format(value)
            case "tools" if isinstance(value, list):
                made["tools"] = [_tool(tool) for tool in value]
            case "tool_choice":
                made["tool_choice"] = _tool(value)
            case "logprobs":
                include += [_LOGPROBS] if value else []
            case _:
                made[_RENAMED.get(name, name)] = value
    if text:
        made["text"] = text
    if include:
        made["include"] = include
    return made


def _format(given: Any) -> Any:
    """``{"type": "json_schema", "json_schema": {…}}`` without the level between."""
    if isinstance(given, dict) and isinstance(given.get("json_schema"), dict):
        return {"type": given.get("type"), **given["json_schema"]}
    return given


def _tool(given: Any) -> Any:
    """A tool, or the choice of one, without the level between."""
    if isinstance(given, dict):
        for kind in ("function", "custom"):
            if given.get("type") == kind and isinstance(given.get(kind), dict):
                return {"type": kind, **given[kind]}
    return given


def _input(turns: Sequence[Turn]) -> tuple[str, list[dict[str, Any]]]:
    """The instructions that open the dialogue, and the rest of it as items."""
    opening = 0
    while opening < len(turns) and turns[opening].role == "system":
        opening += 1
    instructions = "\n\n".join(turn.text for turn in turns[:opening])
    return instructions, [item for turn in turns[opening:] for item in _turn(turn)]


def _turn(turn: Turn) -> Iterable[dict[str, Any]]:
    if turn.role == "tool":
        yield {"type": "function_call_output", "call_id": turn.call_id, "output": _content(turn)}
        return
    if turn.text or turn.attachments or not turn.calls:
        yield {"type": "message", "role": turn.role, "content": _content(turn)}
    for call in turn.calls:
        yield {
            "type": "function_call",
            "call_id": call.id,
            "name": call.name,
            "arguments": call.arguments,
        }


def _content(turn: Turn) -> str | list[dict[str, Any]]:
    """What a turn says and shows, as :func:`fairlead.providers.prompt.content` has it."""
    pictures = [each for each in turn.attachments if not is_text(each.type)]
    texts = [each for each in turn.attachments if is_text(each.type)]
    said = prompt.content(msgspec.structs.replace(turn, attachments=tuple(texts)))
    if not pictures:
        return said
    parts: list[dict[str, Any]] = [{"type": "input_text", "text": said}]
    for picture in pictures:
        address = f"data:{picture.type};base64,{b64encode(picture.data).decode()}"
        parts.append({"type": "input_image", "image_url": address, "detail": "auto"})
    return parts
