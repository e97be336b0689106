"""Realtime server events, checked against the types of OpenAI's SDK."""

from __future__ import annotations

from typing import Any, get_args

from openai.types.realtime.realtime_server_event import RealtimeServerEvent

_MODELS = {
    get_args(model.model_fields["type"].annotation)[0]: model
    for model in get_args(get_args(RealtimeServerEvent)[0])
}


def check(event: dict[str, Any]) -> None:
    """Raise unless the event is one that the SDK knows, with the fields that it knows of it. What a
    session repeats of its settings is as its client wrote it."""
    model = _MODELS[event["type"]]
    if event["type"].startswith("session."):
        assert {"event_id", "session"} <= event.keys()
        assert event["session"]["type"] == "realtime"
    else:
        model.model_validate(event)
