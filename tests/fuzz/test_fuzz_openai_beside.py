"""What stands beside OpenAI's dialects, whatever is sent to it: messages on a socket of responses,
conversations, client secrets, files. Answered, or refused in OpenAI's shape; never a 5xx."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.protocols.responses import Begin, Say, Session
from tests.fuzz.test_fuzz_openai_chat import (
    Post,
    disturbed,
    post,  # noqa: F401 - the server
    refused,
)

_MESSAGE: dict[str, Any] = {
    "type": "response.create",
    "stream_id": "main",
    "generate": True,
    "response_id": "resp_1",
    "input": [{"role": "user", "content": "Hi"}],
}
_ITEMS: list[Any] = [
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
    {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c", "output": "18"},
    {"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]},
]
_SECRET: dict[str, Any] = {
    "expires_after": {"anchor": "created_at", "seconds": 60},
    "session": {
        "type": "realtime",
        "instructions": "Be brief.",
        "tools": [],
        "tool_choice": "auto",
    },
}
_KINDS = ["multipart/form-data; boundary=b", "multipart/form-data", "text/plain", "", "x" * 500]


@given(
    messages=st.lists(
        disturbed(_MESSAGE).map(json.dumps) | st.text(max_size=40) | st.binary(max_size=40),
        max_size=10,
    )
)
@settings(max_examples=120, deadline=None)
def test_whatever_a_socket_is_sent_it_goes_on(messages: list[str | bytes]) -> None:
    session = Session(100_000)
    for message in [*messages, json.dumps(_MESSAGE)]:
        act = session.receive(message)
        if isinstance(act, Begin):
            assert not session.ended(act.lane)
        elif isinstance(act, Say):
            told = json.loads(act.message)
            assert told["type"] == "error"
            assert 400 <= told["status"] < 500
            assert told["error"].keys() == {"message", "type", "param", "code"}
    assert isinstance(act, Begin)


@given(
    body=disturbed({"metadata": {"a": "b"}, "items": _ITEMS}),
    path=st.sampled_from(["", "/conv_none", "/conv_none/items"]),
)
@settings(max_examples=80, deadline=None)
def test_conversations(post: Post, body: Any, path: str) -> None:  # noqa: F811
    response = post(json.dumps(body).encode(), f"/v1/conversations{path}")
    if response.status_code == 200:
        assert response.json()["object"] == "conversation"
        response = post(
            json.dumps({"items": _ITEMS}).encode(),
            f"/v1/conversations/{response.json()['id']}/items",
        )
        assert response.status_code == 200
    else:
        refused(response)


@given(body=disturbed(_SECRET))
@settings(max_examples=80, deadline=None)
def test_client_secrets(post: Post, body: Any) -> None:  # noqa: F811
    response = post(json.dumps(body).encode(), "/v1/realtime/client_secrets")
    if response.status_code == 200:
        assert response.json()["value"].startswith("ek_")
    else:
        refused(response)


@given(
    parts=st.lists(
        st.tuples(
            st.sampled_from(["file", "purpose", "x", 'f"', ""]),
            st.sampled_from(["", "; filename=a", '; filename="\\"', "; filename*=UTF-8''%ff"]),
            st.binary(max_size=20),
        ),
        max_size=4,
    ),
    kind=st.sampled_from(_KINDS),
    end=st.sampled_from([b"--b--\r\n", b"", b"--b"]),
)
@settings(max_examples=80, deadline=None)
def test_forms_of_files(
    post: Post,  # noqa: F811
    parts: list[tuple[str, str, bytes]],
    kind: str,
    end: bytes,
) -> None:
    form = b"".join(
        f'--b\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode()
        + data
        + b"\r\n"
        for name, more, data in parts
    )
    response = post(form + end, "/v1/files", **{"content-type": kind})
    if response.status_code == 200:
        assert response.json()["object"] == "file"
    else:
        refused(response)


@given(
    id=st.text(max_size=40) | st.just("x" * 5000),
    method=st.sampled_from(["GET", "DELETE"]),
    path=st.sampled_from(["", "/content", "/more"]),
    query=st.dictionaries(
        st.sampled_from(["limit", "order", "after", "purpose"]),
        st.sampled_from(["1", "-1", "9" * 400, "x", "", "asc", "\x00"]),
        max_size=3,
    ),
)
@settings(max_examples=80, deadline=None)
def test_files_that_are_not_there(
    post: Post,  # noqa: F811
    id: str,
    method: str,
    path: str,
    query: dict[str, str],
) -> None:
    safe = "".join(c for c in id if c.isalnum() and c.isascii()) or "x"
    refused(post(b"", f"/v1/files/{safe}{path}", method))
    listed = post(b"", "/v1/files", "GET", params=query)
    if listed.status_code == 200:
        assert listed.json()["object"] == "list"
    else:
        refused(listed)
