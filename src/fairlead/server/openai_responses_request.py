"""What ``POST /v1/responses`` asks: its body as a question.

Of the body only what Fairlead itself acts on has to be right. Providers that do not speak the
dialect get the settings in the words of Chat Completions (``Ask.parameters``), and are not asked at
all for what has no words there.

Source: OpenAI API reference, "Create a model response".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec

from fairlead.dialects import custom_tool, openai_responses
from fairlead.dialects.openai_body import FIELDS, decoded, of_address
from fairlead.engine.ask import Ask
from fairlead.errors import BadRequest
from fairlead.events.attachment import Attachment
from fairlead.events.model import Asked as AskedEvent
from fairlead.ports.provider import Call, Turn, Unsaid, Vendor

#: More items than any model reads are refused.
_MAX_ITEMS = 10_000
_MAX_PAIRS, _MAX_KEY, _MAX_VALUE = 16, 64, 512
_ROLES = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}
#: Fields that have no word in Chat Completions, or that are Fairlead's to act on.
_OURS = frozenset(
    {
        "input", "model", "instructions", "stream", "stream_options", "background", "store",
        "previous_response_id", "conversation", "prompt", "metadata", "include", "truncation",
        "max_tool_calls", "tools", "tool_choice", "text", "reasoning", "max_output_tokens",
        "top_logprobs", "context_management", "moderation", "prompt_cache_retention",
        "prompt_cache_options", "stream_id",
    }
)  # fmt: skip


#: What of ``tool_choice`` has words in Chat Completions.
_CHOICES = ("function", "custom", "allowed_tools")
#: What ``include`` may ask for. All but the first stands in the answer where there is any of it,
#: or belongs to tools that only the vendor has.
_LOGPROBS = "message.output_text.logprobs"
_INCLUDED = (
    _LOGPROBS, "reasoning.encrypted_content", "message.input_image.image_url",
    "web_search_call.action.sources", "web_search_call.results", "file_search_call.results",
    "code_interpreter_call.outputs", "computer_call_output.output.image_url",
)  # fmt: skip


class _Part(msgspec.Struct):
    type: str = ""
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    file_data: str | None = None
    filename: str | None = None


class _Item(msgspec.Struct):
    type: str | None = None
    role: str | None = None
    content: str | list[_Part] | dict[str, Any] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    input: Any = None
    output: str | list[_Part] | dict[str, Any] | None = None


class _Tool(msgspec.Struct):
    type: str
    name: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    format: Any = None


class _Allowed(msgspec.Struct):
    name: str | None = None


class _Choice(msgspec.Struct):
    type: str
    name: str | None = None
    mode: str | None = None
    tools: list[_Allowed] | None = None


class _Conversation(msgspec.Struct):
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class _Format(msgspec.Struct):
    type: str
    name: str | None = None
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class _Text(msgspec.Struct):
    format: _Format | None = None
    verbosity: str | None = None


class _Reasoning(msgspec.Struct):
    effort: str | None = None


class _StreamOptions(msgspec.Struct):
    include_obfuscation: bool | None = None


_Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]


class _Body(msgspec.Struct):
    input: str | Annotated[list[_Item], msgspec.Meta(max_length=_MAX_ITEMS)] | None = None
    model: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    instructions: str | None = None
    stream: bool | None = None
    background: bool | None = None
    store: bool | None = None
    previous_response_id: Annotated[str, msgspec.Meta(max_length=128)] | None = None
    metadata: dict[str, str] | None = None
    tools: list[_Tool] | None = None
    tool_choice: str | _Choice | None = None
    text: _Text | None = None
    reasoning: _Reasoning | None = None
    max_output_tokens: _Count | None = None
    top_logprobs: _Count | None = None
    conversation: (
        Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | _Conversation | None
    ) = None
    prompt: Any = None
    include: Annotated[list[str], msgspec.Meta(max_length=100)] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    stream_options: _StreamOptions | None = None
    context_management: Any = None
    moderation: Any = None


class Asked(msgspec.Struct, frozen=True):
    """A question, and how its answer is to be shown. ``items``: its input as the vendor writes it
    out. ``previous``: the response that it goes on with, ``conversation``: that it belongs to;
    empty if none. ``stored``: whether it is to be found again. ``beside``: how many of the body's
    bytes are those of attachments."""

    ask: Ask
    items: list[Any]
    stream: bool
    obfuscated: bool
    stored: bool
    previous: str
    conversation: str
    beside: int
    _instructions: str
    _fields: dict[str, msgspec.Raw]
    _unsaid: tuple[Unsaid, ...]

    def after(self, earlier: list[Any]) -> Ask:
        """The question as one that follows the items of earlier responses. Raises
        :class:`~fairlead.errors.BadRequest` where there is nothing to answer."""
        return self.about([*earlier, *self.items])

    def about(self, items: list[Any]) -> Ask:
        """The question as one about these items, its own last. Raises as :meth:`after`."""
        turns = _Reader().turns(items)
        fields: dict[str, Any] = {**self._fields, "input": items}
        if not turns:
            if all(unsaid.param != "prompt" for unsaid in self._unsaid):
                raise BadRequest("'input' is missing or empty: it is what to answer", param="input")
            # A stored prompt may hold all that there is to answer.
            turns.append(Turn("user", ""))
            del fields["input"]
        if self._instructions:
            turns.insert(0, Turn("system", self._instructions))
        for name in ("previous_response_id", "conversation"):
            fields.pop(name, None)
        vendor = Vendor(openai_responses.NAME, msgspec.json.encode(fields), self._unsaid)
        return msgspec.structs.replace(self.ask, turns=tuple(turns), vendor=vendor)


_body = msgspec.json.Decoder(_Body)
_any = msgspec.json.Decoder(Any)


def asked(data: bytes, *, orphan_window: float | None = None) -> Asked:
    """The question in a body. Raises as :func:`~fairlead.dialects.openai_body.decoded` does."""
    body, fields = decoded(data, _body), decoded(data, FIELDS)
    _check(body)
    given: dict[str, Any] = {name: decoded(raw, _any) for name, raw in fields.items()}
    # Whether it streams is the reader's business: the same question is the same either way.
    for name in ("stream", "stream_options"):
        fields.pop(name, None)
    items = _items(given.get("input"))
    reader = _Reader()
    reader.turns(items)
    shown = {
        name: value
        for name in openai_responses.FIELDS
        if (value := given.get(name)) is not None and name not in ("background", "conversation")
    }
    conversation = body.conversation
    if isinstance(conversation, _Conversation):
        conversation = conversation.id
    if conversation is not None:
        shown["conversation"] = {"id": conversation}
    if body.text is not None and body.text.format is None:
        shown["text"] = shown["text"] | openai_responses.FIELDS["text"]
    kept = items if body.store is not False else []
    return Asked(
        Ask(
            model=body.model or "",
            parameters=_parameters(body, given),
            orphan_window=orphan_window,
            background=bool(body.background),
            whole=body.truncation == "disabled",
            asked=AskedEvent(0, openai_responses.NAME, _raw(shown), _raw(kept)),
        ),
        items=items,
        stream=bool(body.stream),
        obfuscated=bool(body.stream_options and body.stream_options.include_obfuscation),
        stored=body.store is not False,
        previous=body.previous_response_id or "",
        conversation=conversation or "",
        beside=reader.beside,
        _instructions=body.instructions or "",
        _fields=fields,
        _unsaid=tuple(_unsaid(body)),
    )


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def _check(body: _Body) -> None:
    """Refuse what would otherwise be answered as if it had not been asked."""
    if body.conversation is not None and body.previous_response_id is not None:
        raise BadRequest(
            "give either 'conversation' or 'previous_response_id', not both", param="conversation"
        )
    if body.background and body.store is False:
        raise BadRequest("'background' needs 'store': it is read by its id", param="background")
    for number, tool in enumerate(body.tools or ()):
        if tool.type in ("function", "custom") and not tool.name:
            raise BadRequest(f"tools[{number}] has no 'name'", param=f"tools[{number}].name")
    check_metadata(body.metadata or {})


def check_metadata(metadata: dict[str, str]) -> None:
    """Raise :class:`~fairlead.errors.BadRequest` for more than the vendor keeps."""
    if len(metadata) > _MAX_PAIRS or any(
        len(key) > _MAX_KEY or len(value) > _MAX_VALUE for key, value in metadata.items()
    ):
        raise BadRequest(
            f"'metadata' holds at most {_MAX_PAIRS} pairs, keys of {_MAX_KEY} and values of "
            f"{_MAX_VALUE} characters",
            param="metadata",
        )


def items_in(given: list[dict[str, Any]], field: str) -> list[Any]:
    """The items of a list as the vendor writes them out. Raises
    :class:`~fairlead.errors.BadRequest`, which names the ``field`` that they came in."""
    items = _items(given)
    try:
        msgspec.convert(items, list[_Item])
    except msgspec.ValidationError as error:
        raise BadRequest(f"{field}: {error}", param=field) from None
    return items


def _unsaid(body: _Body) -> Iterator[Unsaid]:
    """What only an upstream of this dialect can be asked for."""
    if body.prompt is not None:
        yield Unsaid("a stored prompt", "prompt")
    if body.context_management is not None:
        yield Unsaid("the management of a context", "context_management")
    if body.moderation is not None:
        yield Unsaid("moderation", "moderation")
    for number, tool in enumerate(body.tools or ()):
        if tool.type not in ("function", "custom"):
            yield Unsaid(f"a tool of the type {tool.type[:40]!r}", f"tools[{number}].type")
        if tool.format is not None and tool.format != {"type": "text"}:
            yield Unsaid("a grammar for a custom tool", f"tools[{number}].format")
    choice = body.tool_choice
    if isinstance(choice, _Choice) and choice.type not in _CHOICES:
        yield Unsaid(f"a choice of the type {choice.type[:40]!r}", "tool_choice.type")
    for name in body.include or ():
        if name not in _INCLUDED:
            yield Unsaid(f"{name[:60]!r}", "include")


def _items(given: Any) -> list[Any]:
    """The input as the vendor lists it: each message with its type, id and parts."""
    if given is None:
        return []
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    made: list[Any] = []
    for number, each in enumerate(items):
        item = dict(each)
        kind = item.setdefault("type", "message") or "message"
        item["type"] = kind
        if not (isinstance(item.get("id"), str) and item["id"]):
            item["id"] = f"{'msg' if kind == 'message' else kind}_{number}"
        content = item.get("content")
        if kind == "message":
            item.setdefault("status", "completed")
            if isinstance(content, str):
                said = "output_text" if item.get("role") == "assistant" else "input_text"
                item["content"] = [{"type": said, "text": content}]
        made.append(item)
    return made


def _parameters(body: _Body, given: dict[str, Any]) -> dict[str, Any]:
    """The settings in the words of Chat Completions."""
    made = {name: value for name, value in given.items() if name not in _OURS and value is not None}
    if body.max_output_tokens is not None:
        made["max_completion_tokens"] = body.max_output_tokens
    if body.top_logprobs:
        made |= {"logprobs": True, "top_logprobs": body.top_logprobs}
    elif _LOGPROBS in (body.include or ()):
        made["logprobs"] = True
    if body.reasoning is not None and body.reasoning.effort is not None:
        made["reasoning_effort"] = body.reasoning.effort
    if body.text is not None:
        if body.text.verbosity is not None:
            made["verbosity"] = body.text.verbosity
        form = body.text.format
        if form is not None and form.type == "json_schema":
            fields = {"name": form.name, "description": form.description,
                      "schema": form.schema, "strict": form.strict}  # fmt: skip
            made["response_format"] = {"type": form.type, "json_schema": _present(fields)}
        elif form is not None and form.type != "text":
            made["response_format"] = {"type": form.type}
    tools, choice = body.tools or [], body.tool_choice
    if isinstance(choice, _Choice) and choice.type == "allowed_tools":
        # Which upstreams know the word is not known; what they are not told of they do not call.
        allowed = {tool.name for tool in choice.tools or ()}
        tools = [tool for tool in tools if tool.name in allowed]
        choice = choice.mode
    if tools:
        made["tools"] = [_function(tool) for tool in tools]
    if isinstance(choice, _Choice):
        made["tool_choice"] = {"type": "function", "function": {"name": choice.name}}
    elif choice is not None:
        made["tool_choice"] = choice
    return made


def _function(tool: _Tool) -> dict[str, Any]:
    if tool.type == "custom":
        return custom_tool.function(tool.name or "", tool.description)
    fields = {
        "name": tool.name, "description": tool.description, "parameters": tool.parameters,
        "strict": tool.strict,
    }  # fmt: skip
    return {"type": "function", "function": _present(fields)}


def _present(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


class _Reader:
    """Reads items as turns; ``beside`` counts the characters of what they bring along."""

    def __init__(self) -> None:
        self.beside = 0

    def turns(self, items: list[Any]) -> list[Turn]:
        made: list[Turn] = []
        for item in msgspec.convert(items, list[_Item]):
            match item.type:
                case "message":
                    turn = self._message(item)
                    if made and turn.role == "assistant" and made[-1].calls:
                        # What an answer says after its calls is of the same turn: results follow.
                        said = "\n\n".join(filter(None, (made[-1].text, turn.text)))
                        turn = msgspec.structs.replace(made.pop(), text=said)
                    made.append(turn)
                case "function_call" | "custom_tool_call":
                    arguments = item.arguments or ""
                    if item.type == "custom_tool_call":
                        arguments = custom_tool.arguments(str(item.input or ""))
                    call = Call(item.call_id or "", item.name or "", arguments)
                    if made and made[-1].role == "assistant":
                        # The calls of one answer are one turn, together with what it said.
                        last = made[-1]
                        made[-1] = msgspec.structs.replace(last, calls=(*last.calls, call))
                    else:
                        made.append(Turn("assistant", "", calls=(call,)))
                case "function_call_output" | "custom_tool_call_output":
                    text, attachments, unsaid = self._content(item.output)
                    made.append(Turn("tool", text, attachments, (), item.call_id or "", unsaid))
                case "reasoning":
                    pass  # Chat Completions has no word for the reasoning of earlier answers.
                case _:
                    name = f"an item of the type {(item.type or '')[:40]!r}"
                    made.append(Turn("user", "", unsaid=(name,)))
        return made

    def _message(self, item: _Item) -> Turn:
        text, attachments, unsaid = self._content(item.content)
        role = _ROLES.get(item.role or "")
        if role is None:
            unsaid = (f"a message of the role {(item.role or '')[:40]!r}", *unsaid)
        return Turn(
            role or "user",  # type: ignore[arg-type]  # one of _ROLES
            text,
            attachments,
            unsaid=unsaid,
        )

    def _content(
        self, content: str | list[_Part] | dict[str, Any] | None
    ) -> tuple[str, tuple[Attachment, ...], tuple[str, ...]]:
        texts: list[str] = []
        attachments: list[Attachment] = []
        unsaid: list[str] = []
        if isinstance(content, str):
            texts.append(content)
        if isinstance(content, dict):
            unsaid.append("what is no text and no list of parts")
        for part in content if isinstance(content, list) else ():
            said = part.text if part.text is not None else part.refusal
            attachment = None
            if part.type == "input_image":
                attachment = self._attachment(part.image_url, "")
            elif part.type == "input_file":
                attachment = self._attachment(part.file_data, part.filename)
            if attachment is not None:
                attachments.append(attachment)
            elif said is not None:
                texts.append(said)
            else:
                unsaid.append(_name(part))
        return "\n\n".join(texts), tuple(attachments), tuple(unsaid)

    def _attachment(self, address: str | None, name: str | None) -> Attachment | None:
        attachment = of_address(address or "", name or "")
        if attachment is not None:
            self.beside += len(address or "")
        return attachment


def _name(part: _Part) -> str:
    match part.type:
        case "input_image":
            return "a picture by its address or id"
        case "input_file":
            return "a file by its address or id"
        case _:
            return f"a part of the type {part.type[:40]!r}"
