"""The scripted upstream: a model server for tests, on a real socket, that misbehaves on demand.

It speaks the OpenAI wire (``POST /v1/chat/completions`` and ``POST /v1/responses``, streamed and
whole, those in the background with their cursor and ``cancel``, ``POST /v1/embeddings``, whose
vectors are the bytes of a text's SHA-256, ``/v1/files``, ``GET /v1/models``)
and does what the test scripted, down to single bytes, resets and silence. It records what it was
asked and tells at once when a client hangs up, so that tests wait for events and need no clock::

    from fairlead.testing.upstream import Answer, Pace, Reset, ScriptedUpstream, Status

    async with ScriptedUpstream() as upstream:
        upstream.script(
            Status(429, retry_after=2),                          # the first request
            Answer("Hello wörld, how are you?", pace=Pace(gated=True), faults=(Reset(after=2),)),
        )                                                        # every later one
        client = MyApplication(base_url=upstream.base_url, api_key="any")
        task = asyncio.create_task(client.ask("Hi"))

        refused = await upstream.wait_request()
        request = await upstream.wait_request()                  # the client tried again
        assert request.json["messages"][-1]["content"] == "Hi"
        upstream.release(2)                                      # two tokens go out …
        await upstream.wait_tokens(2)
        upstream.release()                                       # … and then the line is cut
        assert (await request.wait_ended()) is Ending.CUT

Unscripted, it repeats the last user message (:class:`Echo`). By hand::

    python -m fairlead.testing.upstream --port 9999 --delay-ms 10 --tokens 200

Ids and times are fixed (``chatcmpl-1``, ``chatcmpl-2``, …), so runs can be compared byte by byte.
"""

from fairlead.testing.upstream.behaviours import (
    Answer,
    Behaviour,
    Close,
    Echo,
    Fault,
    HugeLine,
    Insert,
    Pace,
    Refuse,
    Reset,
    Silent,
    Stall,
    Status,
    StreamError,
    ToolCall,
    Truncate,
    Wire,
)
from fairlead.testing.upstream.requests import Ending, Picture, ReceivedRequest
from fairlead.testing.upstream.server import ScriptedUpstream

__all__ = [
    "Answer",
    "Behaviour",
    "Close",
    "Echo",
    "Ending",
    "Fault",
    "HugeLine",
    "Insert",
    "Pace",
    "Picture",
    "ReceivedRequest",
    "Refuse",
    "Reset",
    "ScriptedUpstream",
    "Silent",
    "Stall",
    "Status",
    "StreamError",
    "ToolCall",
    "Truncate",
    "Wire",
]
