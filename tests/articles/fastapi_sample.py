"""The server that articles on LLM dialogues over SSE show, re-expressed: FastAPI's
``StreamingResponse`` over a generator of named events.

What it says is what Fairlead says, so that its clients run against either. What it lacks: a break
in the middle loses the rest, or asks (and pays) once more; after ``done`` a browser's
``EventSource`` comes again and gets a second answer; nothing is said while the model is silent.
"""

import json
from collections.abc import AsyncGenerator
from typing import Any

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

TOKENS = ("断线", "之后\n", " goes on", "\u2028", "👩‍👩‍👧", " end。")

app = FastAPI()


class ChatRequest(BaseModel):
    message: str
    conversation_id: str | None = None


def event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


async def answer(question: str) -> AsyncGenerator[str]:
    yield event("thinking", {"status": "retrieving", "message": "正在检索相关文档…"})
    yield event("sources", {"count": 1, "sources": [{"title": "A document"}]})
    for token in TOKENS:
        yield event("token", {"token": token})
    yield event("done", {"status": "completed"})


def stream(question: str) -> StreamingResponse:
    return StreamingResponse(
        answer(question),
        media_type="text/event-stream",
        headers={
            "Cache-Control": "no-cache",
            "Connection": "keep-alive",
            "X-Accel-Buffering": "no",
        },
    )


@app.post("/chat/stream")
async def post_chat(request: ChatRequest) -> StreamingResponse:
    return stream(request.message)


@app.get("/chat/stream")
async def get_chat(message: str) -> StreamingResponse:
    return stream(message)
