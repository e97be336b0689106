"""What each dialect carries to each provider, and what of answers it shows: found out by carrying
it, and written as the page ``docs/reference/dialects.md``.

``python -m tests.dialects.carried > docs/reference/dialects.md``
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import AsyncGenerator, Callable
from typing import Any

import msgspec

from fairlead.dialects import native
from fairlead.dialects import openai_chat as chat
from fairlead.dialects import openai_realtime as realtime
from fairlead.dialects import openai_responses as responses
from fairlead.dialects.openai_chat_whole import Completion
from fairlead.engine.ask import Ask
from fairlead.engine.dialogue import given
from fairlead.engine.limits import Limits
from fairlead.errors import BadRequest, UnsupportedAttachment
from fairlead.events.attachment import Attachment
from fairlead.events.meta import GenerationMeta
from fairlead.events.model import (
    Done,
    Error,
    Event,
    Media,
    Part,
    Progress,
    Reasoning,
    Reset,
    Source,
    Sources,
    Thinking,
    Token,
    Tool,
    Usage,
)
from fairlead.events.pieces import Piece
from fairlead.ports.knowledge import Passage
from fairlead.ports.provider import GenerationRequest, Provider, Turn
from fairlead.protocols.realtime import Answer, Bounds, Session
from fairlead.providers.extractive import ExtractiveProvider
from fairlead.providers.generator import GeneratorProvider
from fairlead.providers.openai_compatible import OpenAICompatibleConfig, OpenAICompatibleProvider
from fairlead.providers.openai_question import Question
from fairlead.providers.openai_responses import OpenAIResponsesConfig, OpenAIResponsesProvider
from fairlead.providers.openai_responses_question import ResponsesQuestion
from fairlead.providers.openai_responses_wire import ResponsesFold
from fairlead.providers.openai_wire import ChunkFold
from fairlead.server import openai_responses_request
from fairlead.server.openai_chat_request import asked
from tests.support.attachments import PNG

MARK = "marked"
PICTURE = PNG + MARK.encode()
FILE = b"Tea comes from China, which is marked."
ADDRESS = f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}"
#: How the mark looks in whatever it is carried in.
SIGNS = (MARK.encode(), base64.b64encode(PICTURE), base64.b64encode(FILE))

PASSAGE = Passage(
    id="p", document="d", title="Tea", address="tea.md", heading="", span=(0, 30),
    text="Tea comes from China. A marked cup is dear.",
)  # fmt: skip

# -- questions -----------------------------------------------------------------------------------

_USER = {"role": "user", "content": "Where does tea come from?"}


def _chat(messages: list[dict[str, Any]] | None = None, **fields: Any) -> Ask:
    body = {"messages": messages or [_USER], **fields}
    return asked(json.dumps(body).encode()).ask


def _response(*items: dict[str, Any], **fields: Any) -> Ask:
    body = {"input": list(items) or [_USER], **fields}
    return openai_responses_request.asked(json.dumps(body).encode()).after([])


def _shows(part: dict[str, Any]) -> Ask:
    said = {"type": "input_text", "text": "Where does tea come from?"}
    return _response({"role": "user", "content": [said, part]})


def _part(part: dict[str, Any]) -> Ask:
    said = {"type": "text", "text": "Where does tea come from?"}
    return _chat([{"role": "user", "content": [said, part]}])


def _session(*items: dict[str, Any], **settings: Any) -> Ask | None:
    """As a Realtime session asks; None where it refuses."""
    session = Session("m", bounds=Bounds(1 << 20, 1 << 20), name=lambda: "s", expires_at=0)
    wanted = {"input": list(items) or [_spoken("user", "Where does tea come from?")], **settings}
    act = session.receive(json.dumps({"type": "response.create", "response": wanted}))
    return act.ask if isinstance(act, Answer) else None


def _spoken(role: str, text: str, **part: Any) -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    content = [{"type": kind, "text": text}, *([part] if part else [])]
    return {"type": "message", "role": role, "content": content}


def _native(*turns: Turn, **fields: Any) -> Ask:
    # The turns that the engine makes of a stored dialogue.
    return Ask(turns=turns or (Turn("user", _USER["content"]),), **fields)


_CALL = {"id": "c", "type": "function", "function": {"name": MARK, "arguments": "{}"}}
_TEXT = Attachment("text/plain", FILE, "tea.txt")

#: By what a question has and the dialect; None: the dialect refuses it by itself.
QUESTIONS: dict[str, dict[str, Ask | None]] = {
    "the last question": {
        "native": _native(Turn("user", "What is marked?")),
        "openai-chat": _chat([{"role": "user", "content": "What is marked?"}]),
        "openai-responses": _response({"role": "user", "content": "What is marked?"}),
        "openai-realtime": _session(_spoken("user", "What is marked?")),
    },
    "the question before": {
        "native": _native(
            Turn("user", "What is marked?"), Turn("assistant", "?"), Turn("user", "And why?")
        ),
        "openai-chat": _chat(
            [
                {"role": "user", "content": "What is marked?"},
                {"role": "assistant", "content": "?"},
                {"role": "user", "content": "And why?"},
            ]
        ),
        "openai-responses": _response(
            {"role": "user", "content": "What is marked?"},
            {"role": "assistant", "content": "?"},
            {"role": "user", "content": "And why?"},
        ),
        "openai-realtime": _session(
            _spoken("user", "What is marked?"),
            _spoken("assistant", "?"),
            _spoken("user", "And why?"),
        ),
    },
    "instructions": {
        "native": _native(Turn("system", MARK), Turn("user", "Where does tea come from?")),
        "openai-chat": _chat([{"role": "developer", "content": MARK}, _USER]),
        "openai-responses": _response(instructions=MARK),
        "openai-realtime": _session(instructions=MARK),
    },
    "settings (temperature, …)": {
        "native": _native(parameters={"stop": MARK}),
        "openai-chat": _chat(stop=MARK),
        "openai-responses": _response(stop=MARK),
        "openai-realtime": _session(reasoning={"effort": MARK}),
    },
    "definitions of tools": {
        "native": _native(parameters={"tools": [{"function": {"name": MARK}}]}),
        "openai-chat": _chat(tools=[{"type": "function", "function": {"name": MARK}}]),
        "openai-responses": _response(tools=[{"type": "function", "name": MARK}]),
        "openai-realtime": _session(tools=[{"type": "function", "name": MARK}]),
    },
    "definitions of custom tools": {
        "openai-chat": _chat(tools=[{"type": "custom", "custom": {"name": MARK}}]),
        "openai-responses": _response(tools=[{"type": "custom", "name": MARK}]),
    },
    "tools that the vendor runs (web_search, …)": {
        "openai-responses": _response(tools=[{"type": MARK}]),
        "openai-realtime": _session(tools=[{"type": "mcp", "server_label": MARK}]),
    },
    "stored prompts": {
        "openai-responses": _response(prompt={"id": MARK}),
        "openai-realtime": _session(prompt={"id": MARK}),
    },
    "tool calls of earlier answers": {
        "openai-chat": _chat([_USER, {"role": "assistant", "tool_calls": [_CALL]}, _USER]),
        "openai-responses": _response(
            _USER, {"type": "function_call", "call_id": "c", "name": MARK, "arguments": "{}"}, _USER
        ),
        "openai-realtime": _session(
            _spoken("user", "Where does tea come from?"),
            {"type": "function_call", "call_id": "c", "name": MARK, "arguments": "{}"},
            _spoken("user", "Where does tea come from?"),
        ),
    },
    "results of tools": {
        "openai-chat": _chat([_USER, {"role": "tool", "tool_call_id": "c", "content": MARK}]),
        "openai-responses": _response(
            _USER, {"type": "function_call_output", "call_id": "c", "output": MARK}
        ),
        "openai-realtime": _session(
            _spoken("user", "Where does tea come from?"),
            {"type": "function_call_output", "call_id": "c", "output": MARK},
        ),
    },
    "JSON modes": {
        "native": _native(parameters={"response_format": {"type": MARK}}),
        "openai-chat": _chat(response_format={"type": MARK}),
        "openai-responses": _response(text={"format": {"type": MARK}}),
    },
    "fields of a message that we do not know": {
        "openai-chat": _chat([{**_USER, "vendor": MARK}]),
        "openai-responses": _response({**_USER, "vendor": MARK}),
        "openai-realtime": _session(
            {**_spoken("user", "Where does tea come from?"), "vendor": MARK}
        ),
    },
    "pictures by their bytes": {
        "native": _native(
            Turn("user", "Where does tea come from?", (Attachment("image/png", PICTURE),))
        ),
        "openai-chat": _part({"type": "image_url", "image_url": {"url": ADDRESS}}),
        "openai-responses": _shows({"type": "input_image", "image_url": ADDRESS}),
        "openai-realtime": _session(
            _spoken("user", "Where does tea come from?", type="input_image", image_url=ADDRESS)
        ),
    },
    "pictures by their address": {
        "openai-chat": _part({"type": "image_url", "image_url": {"url": f"https://x/{MARK}"}}),
        "openai-responses": _shows({"type": "input_image", "image_url": f"https://x/{MARK}"}),
        "openai-realtime": _session(
            _spoken(
                "user",
                "Where does tea come from?",
                type="input_image",
                image_url=f"https://x/{MARK}",
            )
        ),
    },
    "text files": {
        "native": _native(Turn("user", "Where does tea come from?", (_TEXT,))),
        "openai-chat": _part(
            {
                "type": "file",
                "file": {
                    "filename": "tea.txt",
                    "file_data": f"data:text/plain;base64,{base64.b64encode(_TEXT.data).decode()}",
                },
            }
        ),
        "openai-responses": _shows(
            {
                "type": "input_file",
                "filename": "tea.txt",
                "file_data": f"data:text/plain;base64,{base64.b64encode(_TEXT.data).decode()}",
            }
        ),
    },
    "files by their id": {
        "openai-chat": _part({"type": "file", "file": {"file_id": MARK}}),
        "openai-responses": _shows({"type": "input_file", "file_id": MARK}),
    },
    "audio": {
        "openai-chat": _part({"type": "input_audio", "input_audio": {"data": MARK}}),
        "openai-responses": _shows({"type": "input_audio", "input_audio": {"data": MARK}}),
        "openai-realtime": _session(
            _spoken("user", "Where does tea come from?", type="input_audio", audio=MARK)
        ),
    },
    "the reasoning of earlier answers": {
        "openai-responses": _response(
            _USER,
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": MARK}]},
            _USER,
        ),
    },
}


async def _silent(request: GenerationRequest) -> AsyncGenerator[Piece, None]:
    yield ""


def _request(ask: Ask, provider: Provider) -> GenerationRequest:
    placed = given(ask, provider, Limits())
    return GenerationRequest(
        stream="s",
        turns=placed.turns,
        passages=(PASSAGE,),
        parameters=ask.parameters,
        vendor=ask.vendor,
    )


def _to_upstream(ask: Ask) -> bool:
    config = OpenAICompatibleConfig(name="up", base_url="http://up/v1", model="m")
    request = _request(ask, OpenAICompatibleProvider(config))
    request = msgspec.structs.replace(request, passages=())
    return _marked(Question(request, model="m", include_usage=False).body)


def _to_responses(ask: Ask) -> bool:
    config = OpenAIResponsesConfig(name="up", base_url="http://up/v1", model="m")
    request = _request(ask, OpenAIResponsesProvider(config))
    request = msgspec.structs.replace(request, passages=())
    return _marked(ResponsesQuestion(request, model="m", background=False).body)


def _to_agent(ask: Ask) -> bool:
    request = _request(ask, GeneratorProvider("agent", _silent, clock=lambda: 0))
    request = msgspec.structs.replace(request, passages=(), vendor=None)
    return _marked(msgspec.json.encode(request))


def _to_documents(ask: Ask) -> bool:
    """It quotes: what makes no difference to its answer has not reached it."""
    plain = _native()
    return _quoted(ask) != _quoted(plain)


def _quoted(ask: Ask) -> str:
    provider = ExtractiveProvider(clock=lambda: 0)

    async def answer() -> str:
        events = provider.generate(_request(ask, provider))
        return "".join([event.text async for event in events if isinstance(event, Token)])

    return asyncio.run(answer())


PROVIDERS: dict[str, Callable[[Ask], bool]] = {
    "an OpenAI-compatible upstream": _to_upstream,
    "an upstream of Responses": _to_responses,
    "a program's own agent": _to_agent,
    "the documents alone": _to_documents,
}


def _marked(data: bytes) -> bool:
    return any(sign in data for sign in SIGNS)


def _carried(asks: dict[str, Ask | None], dialect: str, provider: Callable[[Ask], bool]) -> str:
    if dialect not in asks:
        return "–"
    ask = asks[dialect]
    if ask is None:
        return "refused"
    try:
        return "yes" if provider(ask) else "dropped"
    except (UnsupportedAttachment, BadRequest):
        return "refused"


# -- answers -------------------------------------------------------------------------------------


def _upstream(delta: dict[str, Any], **more: Any) -> list[Event]:
    fold = ChunkFold()
    top = more.pop("top", {})
    choice = {"index": 0, "delta": delta, **more}
    events = fold.feed(json.dumps({"choices": [choice], **top}).encode(), 1)
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    return [*events, *fold.feed(json.dumps(end).encode(), 1), *fold.end(1)]


_DONE = Done(9)

ANSWERS: dict[str, list[Event]] = {
    "text": [Token(1, MARK), _DONE],
    "reasoning": [Part(1, 1, "open", "reasoning"), Reasoning(1, MARK, 1), _DONE],
    "tool calls": [Part(1, 1, "open", "tool_call", 0, "c", "f"), Tool(1, MARK, 1), _DONE],
    "further choices": [Part(1, 1, "open", "text", 1), Token(1, MARK, 1), _DONE],
    "sources": [Sources(1, (Source("p", "T", MARK, (0, 1), 1.0, ""),)), Token(1, "x"), _DONE],
    "the passages' words": [Sources(1, (Source("p", "T", "a", (0, 1), 1.0, MARK),)), _DONE],
    "pictures": [Part(1, 1, "open", "media"), Media(1, 1, "image/png", PICTURE), _DONE],
    "other media": [Part(1, 1, "open", "media"), Media(1, 1, f"audio/{MARK}", b"x"), _DONE],
    "the reason of the end": [Part(1, 0, "close", finish=MARK), Done(2, finish=MARK)],
    "what was used": [Token(1, "x"), Usage(1, 4711, 1), _DONE],
    "who answers": [Thinking(1, "writing", model=MARK, provider="p"), _DONE],
    "what is done meanwhile": [Thinking(1, "retrieving", MARK), _DONE],
    "progress": [Progress(1, MARK), _DONE],
    "text in place of what was shown": [Token(1, "x"), Reset(2, "again", MARK), _DONE],
    "errors": [Token(1, "x"), Error(2, MARK, "upstream_cut")],
    "refusals": _upstream({"refusal": MARK}),
    "log-probabilities": _upstream({"content": "x"}, logprobs={"content": [{"token": MARK}]}),
    "fields of an upstream's chunks that we do not know": _upstream(
        {"content": "x"}, top={"vendor": MARK}
    ),
    "those of its choices, deltas and tool calls": _upstream({"content": "x", "vendor": MARK}),
}


def _responses(*said: dict[str, Any], **usage: Any) -> list[Event]:
    """What an upstream of Responses says, as events."""
    fold = ResponsesFold()
    end = {"type": "response.completed", "response": {"status": "completed", "usage": usage}}
    return [event for each in (*said, end) for event in fold.feed(json.dumps(each).encode(), 1)]


def _said(name: str, **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{name}", "output_index": 0, **fields}


def _item(**fields: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    return _said("output_item.added", item=fields), _said("output_item.done", item=fields)


_TEXT_OF_IT = _said("output_text.delta", delta="x")
_CITED = {"type": "url_citation", "url": f"https://x/{MARK}", "title": "T"}

RESPONSES: dict[str, list[Event]] = {
    "text": _responses(_said("output_text.delta", delta=MARK)),
    "reasoning, or its summary": _responses(_said("reasoning_summary_text.delta", delta=MARK)),
    "reasoning in encrypted form": _responses(*_item(type="reasoning", encrypted_content=MARK)),
    "calls of functions": _responses(
        *_item(type="function_call", call_id="c", name="f", arguments=MARK)
    ),
    "calls of custom tools": _responses(
        *_item(type="custom_tool_call", call_id="c", name="f", input=MARK)
    ),
    "citations of addresses": _responses(
        _TEXT_OF_IT,
        _said("output_text.annotation.added", annotation=_CITED),
        _said("output_item.done", item={"type": "message"}),
    ),
    "pictures": _responses(
        *_item(type="image_generation_call", result=base64.b64encode(PICTURE).decode())
    ),
    "what hosted tools do": [
        msgspec.structs.replace(event, message=MARK) if isinstance(event, Thinking) else event
        for event in _responses(_said("web_search_call.searching"))
    ],
    "refusals": _responses(_said("refusal.delta", delta=MARK)),
    "log-probabilities": _responses(
        _said("output_text.delta", delta="x", logprobs=[{"token": MARK}])
    ),
    "what was used": _responses(_TEXT_OF_IT, input_tokens=4711),
    "its details": _responses(_TEXT_OF_IT, output_tokens_details={"reasoning_tokens": 4711}),
    "fields and events that we do not know": _responses(
        _said("output_text.delta", delta="x", vendor=MARK), _said("vendor.delta", delta=MARK)
    ),
}


def _native_shows(events: list[Event]) -> bytes:
    state = native.begin("s", GenerationMeta(provider="p"), native.Options(), 1)
    shown = b""
    for event in events:
        state, frames = native.step(state, event)
        shown += b"".join(frame.data for frame in frames)
    return shown


def _chunks_show(events: list[Event]) -> bytes:
    state = chat.begin("s", GenerationMeta(provider="p"), chat.Options(include_usage=True))
    shown = b""
    for event in events:
        state, frames = chat.step(state, event)
        shown += b"".join(frame.data for frame in frames)
    return shown


def _completion_shows(events: list[Event]) -> bytes:
    completion = Completion("s", GenerationMeta(provider="p"))
    for event in events:
        completion.add(event)
    return completion.object() if completion.error is None else completion.error.error.encode()


def _response_events_show(events: list[Event]) -> bytes:
    state = responses.begin("s", GenerationMeta(provider="p"))
    shown = b""
    for event in events:
        state, frames = responses.step(state, event)
        shown += b"".join(frame.data for frame in frames)
    return shown


def _response_shows(events: list[Event]) -> bytes:
    response = responses.Response("s", GenerationMeta(provider="p"))
    for event in events:
        response.add(event)
    return response.object()


def _realtime_shows(events: list[Event]) -> bytes:
    state = realtime.begin("s", GenerationMeta(provider="p"), realtime.Options({}))
    shown = b""
    for event in events:
        state, frames = realtime.step(state, event)
        shown += b"".join(frame.data for frame in frames)
    return shown


READERS: dict[str, Callable[[list[Event]], bytes]] = {
    "native": _native_shows,
    "openai-chat, streamed": _chunks_show,
    "openai-chat, whole": _completion_shows,
    "openai-responses, streamed": _response_events_show,
    "openai-responses, whole": _response_shows,
    "openai-realtime": _realtime_shows,
}


def _shown(events: list[Event], reader: Callable[[list[Event]], bytes]) -> str:
    data = reader(events)
    return "yes" if _marked(data) or b"4711" in data else "dropped"


# -- the page ------------------------------------------------------------------------------------

_PAGE = """\
# What the dialects carry

This page is written by a test that carries each thing and looks for it on the other side: `yes`, it
arrives; `dropped`, it does not, and nothing is said about it; `refused`, the question is answered
with an error that names it; `–`, the dialect has no word for it.

## Questions

What of a question reaches whoever answers it. A model of several upstreams carries what all of them
do. An upstream gets a question of its own dialect in its own words, with every field that we do not
know. An OpenAI-compatible upstream is asked over Chat Completions.

{questions}

The native dialect has tool calls and their results in no dialogue that it stores. Whether a picture
or a file is taken is also a matter of the upstream's `attachments`, except in its own dialect:
there the upstream itself decides. A program's own agent can read the question in its own words,
too, as `request.vendor`. Sessions that an upstream holds itself (`realtime = true`) are not in the
table: that upstream gets every event as it came.

## Answers

What of an answer its readers are shown. An error of a whole answer is the response's status and
body. Of the reasons of an end, Responses have words for `length` and `content_filter` alone.

{answers}

What an upstream of Responses says, with all that it has words for:

{responses}

"""


DIALECTS = ("native", "openai-chat", "openai-responses", "openai-realtime")


def page() -> str:
    """The page as Markdown."""
    columns = [(d, p) for d in DIALECTS for p in PROVIDERS]
    questions = [["", *(f"{dialect} → {provider}" for dialect, provider in columns)]]
    for name, asks in QUESTIONS.items():
        cells = [_carried(asks, dialect, PROVIDERS[p]) for dialect, p in columns]
        questions.append([name, *cells])
    answers = [["", *READERS]]
    for name, events in ANSWERS.items():
        if events:
            answers.append([name, *(_shown(events, reader) for reader in READERS.values())])
    responses = [["", *READERS]]
    for name, events in RESPONSES.items():
        responses.append([name, *(_shown(events, reader) for reader in READERS.values())])
    tables = {"questions": questions, "answers": answers, "responses": responses}
    made = {name: _table(rows) for name, rows in tables.items()}
    return _PAGE.format(**made).rstrip() + "\n"


def _table(rows: list[list[str]]) -> str:
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(page())
