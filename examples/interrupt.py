import sys

from fairlead import SyncClient

question, correction, address = [*sys.argv[1:], "http://127.0.0.1:8000"][:3]

with SyncClient(address, interruptible=True) as client:
    answer = client.ask(question)
    for event in answer:
        print(event.text, end="", flush=True)
        if event.text:
            break  # the person has read so far, and breaks in
    print(" –")
    for event in answer.interrupt(correction):
        print(event.text, end="", flush=True)
