import asyncio
import json

from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

app = FastAPI()


def event(name: str, data: dict) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


@app.get("/countdown")
async def countdown(request: Request, seconds: int = 3):
    async def events():
        yield event("hello", {"consumer": request.headers.get("fairlead-consumer", "")})
        for left in range(seconds, 0, -1):
            yield event("tick", {"left": left})
            await asyncio.sleep(0.1)
        yield event("done", {"status": "lift-off"})

    return StreamingResponse(events(), media_type="text/event-stream")


@app.get("/about")
async def about():
    return {"name": "countdown"}
