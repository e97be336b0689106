import asyncio
import sys

from fairlead import Client


async def main(question, address="http://127.0.0.1:8000"):
    async with Client(address) as client:
        stream = await client.start(question, background=True)
        async for event in client.attach(stream):  # from anywhere, as often as you like
            print(event.text, end="", flush=True)
        print("\n" + (await client.answer(stream)).status)


asyncio.run(main(*sys.argv[1:]))
