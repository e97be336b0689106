"""Read an answer, hang up after each tenth event, and read on from there.

    python resume.py "What is a position?" [http://127.0.0.1:8000]

Needs `httpx` and `httpx-sse`. Any HTTP client does it the same way: remember the last id, send it
back as Last-Event-ID.
"""

import sys

import httpx
from httpx_sse import connect_sse

question = sys.argv[1]
server = sys.argv[2] if len(sys.argv) > 2 else "http://127.0.0.1:8000"

headers = {}
ended = False
with httpx.Client(base_url=server, timeout=60) as client:
    while not ended:
        # Repeating the question is safe: with a Last-Event-ID it attaches and starts nothing.
        with connect_sse(
            client, "POST", "/chat/stream", json={"message": question}, headers=headers
        ) as connection:
            for count, event in enumerate(connection.iter_sse(), start=1):
                headers = {"Last-Event-ID": event.id}
                data = event.json()
                print(data.get("token", ""), end="", flush=True)
                ended = event.event in ("done", "error")
                if ended or count == 10:
                    break
        print("\n" if ended else "|", end="", flush=True)
