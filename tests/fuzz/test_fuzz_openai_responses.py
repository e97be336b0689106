"""Whatever is sent to the Responses dialect is answered, or refused in OpenAI's shape; never a
5xx."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.errors import BadRequest
from fairlead.server.openai_responses_request import asked
from tests.fuzz.test_fuzz_openai_chat import (
    PICTURE,
    Post,
    disturbed,
    post,  # noqa: F401 - the server
    refused,
)

PATH = "/v1/responses"

_BODY: dict[str, Any] = {
    "model": "m-1",
    "stream": False,
    "background": False,
    "store": True,
    "instructions": "Be brief.",
    "metadata": {"a": "b"},
    "temperature": 0.5,
    "max_output_tokens": 9,
    "reasoning": {"effort": "low"},
    "text": {"format": {"type": "json_schema", "name": "s", "schema": {}}, "verbosity": "low"},
    "tools": [
        {"type": "function", "name": "f", "parameters": {}},
        {"type": "custom", "name": "g", "format": {"type": "text"}},
    ],
    "include": ["message.output_text.logprobs"],
    "truncation": "auto",
    "stream_options": {"include_obfuscation": False},
    "tool_choice": {"type": "function", "name": "f"},
    "input": [
        {"role": "developer", "content": "Be brief."},
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "What is this?"},
                {"type": "input_image", "image_url": PICTURE},
                {
                    "type": "input_file",
                    "filename": "a.txt",
                    "file_data": "data:text/plain;base64,YQ==",
                },
            ],
        },
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "18"},
        {"type": "custom_tool_call", "call_id": "d", "name": "g", "input": "a"},
        {"type": "custom_tool_call_output", "call_id": "d", "output": "b"},
        {"role": "user", "content": "And now?"},
    ],
}


@given(st.binary(max_size=60) | disturbed(_BODY).map(lambda body: json.dumps(body).encode()))
@settings(max_examples=300, deadline=None)
def test_a_body_is_a_question_or_a_fault_of_the_caller(data: bytes) -> None:
    try:
        made = asked(data).after([])
    except BadRequest:
        return
    assert made.turns
    assert made.vendor is not None
    json.loads(made.vendor.body)


@given(body=disturbed(_BODY))
@settings(max_examples=150, deadline=None)
def test_whatever_is_asked_is_answered_or_refused(
    post: Post,  # noqa: F811
    body: Any,
) -> None:
    response = post(json.dumps(body).encode(), PATH)
    if response.status_code != 200:
        refused(response)
    elif response.headers["content-type"] == "application/json; charset=utf-8":
        assert response.json()["object"] == "response"
    else:
        assert "event: response.c" in response.text


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b"{}",
        b"\xff\xfe",
        b'{"input": []}',
        b'{"input": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"x": ' + b'{"a":' * 20000 + b"1" + b"}" * 20000 + b', "input": "a"}',
        b'{"input": "\\ud800"}',
        b'{"input": "a", "max_output_tokens": ' + b"9" * 5000 + b"}",
        b'{"input": "' + b"x" * 200_000 + b'"}',
        b'{"input": "a", "previous_response_id": "' + b"x" * 5000 + b'"}',
        b'{"input": "a", "previous_response_id": "resp_none"}',
        b'{"input": "a", "metadata": {"' + b"x" * 100 + b'": "y"}}',
        b'{"input": "a", "tools": [{"type": "web_search"}]}',
        b'{"input": [{"type": "item_reference", "id": "x"}]}',
        b'{"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]}',
    ],
)
def test_what_is_no_question_is_refused(post: Post, data: bytes) -> None:  # noqa: F811
    refused(post(data, PATH))


@given(
    id=st.text(max_size=40) | st.just("resp_" + "0" * 26),
    query=st.dictionaries(
        st.sampled_from(["stream", "starting_after", "limit", "order", "after", "include[]"]),
        st.sampled_from(["true", "-1", "0", "9" * 400, "x", ""]),
        max_size=3,
    ),
    path=st.sampled_from(["", "/input_items", "/cancel"]),
)
@settings(max_examples=100, deadline=None)
def test_what_is_not_there_is_not_found(
    post: Post,  # noqa: F811
    id: str,
    query: dict[str, str],
    path: str,
) -> None:
    safe = "".join(c for c in id if c.isalnum() and c.isascii()) or "x"
    method = "POST" if path == "/cancel" else "GET"
    refused(post(b"", f"{PATH}/{safe}{path}", method, params=query))
