"""Fairlead inside a FastAPI application, answered by an agent of one's own.

Run it with ``uvicorn fastapi_mount:app``; ask at http://127.0.0.1:8000/ai/
"""

import asyncio
import os

from fastapi import FastAPI

from fairlead import Fairlead, progress


async def agent(request):
    question = request.turns[-1].text
    yield progress("Thinking about it", 0.5)
    for word in f"You asked: {question}".split():  # your model, chain or agent goes here
        yield word + " "
        await asyncio.sleep(0.05)


fairlead = Fairlead(providers={"agent": agent}, data_dir=os.environ.get("DATA_DIR", "data"))
app = FastAPI(lifespan=fairlead.lifespan)
app.mount("/ai", fairlead.asgi())


@app.get("/")
async def home():
    return {"ask at": "/ai/"}
