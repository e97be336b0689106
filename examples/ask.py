import sys

from fairlead import SyncClient

question, address = [*sys.argv[1:], "http://127.0.0.1:8000"][:2]

with SyncClient(address) as client:
    for event in client.ask(question):
        print(event.text, end="", flush=True)
        if event.name == "error":
            print(event.data["error"])
