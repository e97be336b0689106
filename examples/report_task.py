"""A task of several steps that writes its own stream; its reader may hang up and come back.

Run it with ``uvicorn report_task:app``; then ``curl -X POST http://127.0.0.1:8000/reports`` gives
the id of a stream to read at ``/ai/streams/{id}``.
"""

import asyncio
import os

from fastapi import FastAPI

from fairlead import Fairlead

STEPS = ["collect", "compare", "draw", "write"]
PACE = float(os.environ.get("PACE", "30"))  # seconds that a step takes

fairlead = Fairlead(data_dir=os.environ.get("DATA_DIR", "data"))
app = FastAPI(lifespan=fairlead.lifespan)
app.mount("/ai", fairlead.asgi())
tasks = set()


async def report(started):
    async with fairlead.stream("The report of today", consumer="anonymous") as out:
        started.set_result(out.id)
        for n, step in enumerate(STEPS):
            await out.progress(step, n / len(STEPS))
            await asyncio.sleep(PACE)  # the work of the step; a stop ends it here
            await out.token(f"{step} is done – ")
        await out.media("image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg'/>")
        await out.progress("finished", 1.0)


@app.post("/reports")
async def start():
    started = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(report(started))
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    return {"stream": await started}
