import sys

from fairlead import SyncClient

question, path, address = [*sys.argv[1:], "http://127.0.0.1:8000"][:3]

with SyncClient(address) as client:
    for event in client.ask(question, attachments=[path]):
        print(event.text, end="", flush=True)
        if event.name == "error":
            print(event.data["error"])
