import asyncio
import json

from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

app = FastAPI()


@app.post("/v1/chat/completions")
async def answer(request: Request):
    question = (await request.json())["messages"][-1]["content"]

    async def events():
        for word in f"You asked: {question}".split(" "):  # your model or agent goes here
            yield f"data: {json.dumps({'choices': [{'delta': {'content': word + ' '}}]})}\n\n"
            await asyncio.sleep(0.05)
        yield "data: [DONE]\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")
