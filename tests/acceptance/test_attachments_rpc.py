"""Attachments over Connect, gRPC-Web and gRPC."""

from __future__ import annotations

import os
from typing import Any

import grpc
import pytest
from connectrpc.code import Code
from connectrpc.errors import ConnectError

from fairlead.testing.upstream import Answer as Scripted
from fairlead.testing.upstream import ScriptedUpstream
from fairlead.v1.answers_pb import AskRequest, Attachment, StopRequest
from tests.acceptance.conftest import Serve
from tests.support.attachments import NOTES, PNG
from tests.support.ports import free_port
from tests.support.rpc import PROTOCOLS, client, text

every_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)


async def code_of(call: Any) -> Code:
    """The code that a call ends with."""
    try:
        await (text(call) if hasattr(call, "__aiter__") else call)
    except ConnectError as error:
        return error.code
    except grpc.aio.AioRpcError as error:
        return Code[error.code().name]
    raise AssertionError("the call did not fail")


@every_protocol
async def test_every_byte_arrives(serve: Serve, upstream: ScriptedUpstream, protocol: str) -> None:
    upstream.script(Scripted("I see."))
    # More than any other request may have.
    large = PNG + os.urandom(3 << 20)
    asked = AskRequest(
        message="?",
        attachments=[
            Attachment(type="image/png", data=large),
            Attachment(type="text/plain", name="notes.txt", data=NOTES),
        ],
    )
    port = free_port()
    async with (
        serve("--grpc-port", str(port)) as server,
        client(protocol, server.url, port) as caller,
    ):
        assert await text(caller.ask(asked)) == "I see."
        request = await upstream.wait_request()
        assert request.message_pictures() == [("image/png", large)]
        assert NOTES.decode() in request.message_texts("user")[0]

        wrong = AskRequest(message="?", attachments=[Attachment(type="image/gif", data=PNG)])
        assert await code_of(caller.ask(wrong)) is Code.INVALID_ARGUMENT
        wrong = AskRequest(message="?", attachments=[Attachment(type="a/b", data=PNG)])
        assert await code_of(caller.ask(wrong)) is Code.INVALID_ARGUMENT
        many = AskRequest(message="?", attachments=list(asked.attachments) * 5)
        assert await code_of(caller.ask(many)) is Code.RESOURCE_EXHAUSTED
        assert await code_of(caller.stop(StopRequest(stream="x" * (2 << 20)))) is (
            Code.RESOURCE_EXHAUSTED
        )


async def test_who_is_not_known_is_not_read_that_much_from(serve: Serve) -> None:
    server = serve()
    server.env["FAIRLEAD_API_KEYS"] = "alice=aaaaaaaa"
    large = AskRequest(
        message="?", attachments=[Attachment(type="image/png", data=PNG + bytes(2 << 20))]
    )
    async with server, client("connect", server.url, 0) as caller:
        assert await code_of(caller.ask(large)) is Code.RESOURCE_EXHAUSTED
        assert await code_of(caller.ask(AskRequest(message="?"))) is Code.UNAUTHENTICATED
