"""Ask over Connect, hang up after each tenth event, and read on from there.

    python rpc_client.py "What is a position?" [http://127.0.0.1:8000]

Needs `fairlead[rpc]`. The messages and the client are generated from proto/fairlead/v1, as they can
be for any other language.
"""

import sys

from connectrpc.code import Code
from connectrpc.errors import ConnectError

from fairlead.v1.answers_connect import AnswersClientSync
from fairlead.v1.answers_pb import AskRequest, AttachRequest

question = sys.argv[1]
server = sys.argv[2] if len(sys.argv) > 2 else "http://127.0.0.1:8000"

with AnswersClientSync(server) as answers:
    events = answers.ask(AskRequest(message=question))
    stream = position = ""
    ended = False
    while not ended:
        try:
            for count, event in enumerate(events, start=1):
                stream, position = event.stream or stream, event.position or position
                if event.event is not None and event.event.field == "token":
                    print(event.event.value.text, end="", flush=True)
                ended = event.type in ("done", "error")
                if ended or count == 10:
                    break
        except ConnectError as error:
            # The server restarts, or the way to it is broken: the answer goes on.
            if error.code is not Code.UNAVAILABLE or not stream:
                raise
        events.close()
        print("\n" if ended else "|", end="", flush=True)
        events = answers.attach(AttachRequest(stream=stream, after=position))
