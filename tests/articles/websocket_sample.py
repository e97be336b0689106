"""The WebSocket server that articles on LLM dialogues show, re-expressed: FastAPI with a manager of
connections. What it lacks: it asks nobody who they are, and bounds nothing."""

import asyncio
from typing import Any

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

TOKENS = ("断线", "之后\n", " goes on", "\u2028", "👩‍👩‍👧", " end。")

app = FastAPI()


class ConnectionManager:
    def __init__(self) -> None:
        self.active: dict[str, WebSocket] = {}

    async def connect(self, websocket: WebSocket, client_id: str) -> None:
        await websocket.accept()
        self.active[client_id] = websocket

    def disconnect(self, client_id: str) -> None:
        self.active.pop(client_id, None)

    async def send(self, client_id: str, message: dict[str, Any]) -> None:
        if client_id in self.active:
            await self.active[client_id].send_json(message)


manager = ConnectionManager()


@app.websocket("/ws/{client_id}")
async def endpoint(websocket: WebSocket, client_id: str) -> None:
    await manager.connect(websocket, client_id)
    try:
        while True:
            data = await websocket.receive_json()
            if data["type"] == "chat":
                thinking = {"status": "retrieving", "message": "正在检索相关文档…"}
                await manager.send(client_id, {"type": "thinking", "data": thinking})
                for token in TOKENS:
                    await manager.send(client_id, {"type": "token", "data": {"token": token}})
                    await asyncio.sleep(0)
                done = {"status": "completed", "asked": data["message"]}
                await manager.send(client_id, {"type": "done", "data": done})
    except WebSocketDisconnect:
        manager.disconnect(client_id)
