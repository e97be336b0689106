"""``/budgets`` and ``/usage``: what the caller has left, and what it has used."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from fairlead.errors import BadRequest
from fairlead.policy.budgets import Standing
from fairlead.policy.prices import MICRO
from fairlead.ports.usage import Usage
from fairlead.server import http

router = APIRouter(tags=["usage"])

#: Days that are shown unless the query says otherwise, and at most.
_DAYS = 31
_MOST = 366


@router.get("/budgets", summary="How much you have left")
async def budgets(request: Request) -> Response:
    """The budgets that your questions are charged to: limit, what is used and what remains in this
    window, and when it refills. What running answers hold in advance counts as used."""
    caller = await http.caller(request)
    system = http.system(request)
    found = await system.engine.budgets(caller, system.applications.metered)
    now = time.time()
    return http.json_response(
        {"budgets": [budget(model, standing, now) for model, standing in found]}
    )


@router.get(
    "/usage",
    summary="What you have used, by day and model",
    openapi_extra={
        "parameters": [
            {"name": name, "in": "query", "schema": {"type": "string", "format": "date"}}
            for name in ("since", "until")
        ]
    },
)
async def usage(request: Request) -> Response:
    """``since`` and ``until`` are days (UTC), both included; the last 31 days unless given."""
    caller = await http.caller(request)
    since, until = days(request)
    rows = await http.system(request).engine.usage(caller, since, until)
    return http.json_response(
        {"since": since, "until": until, "usage": [used(row) for row in rows]}
    )


def days(request: Request) -> tuple[str, str]:
    """The first and the last day that the query asks for."""
    until = day(request, "until") or datetime.now(UTC).date()
    since = day(request, "since") or until - timedelta(days=_DAYS - 1)
    if not 0 <= (until - since).days < _MOST:
        raise BadRequest(f"'since' must be at most {_MOST - 1} days before 'until', not after it")
    return since.isoformat(), until.isoformat()


def day(request: Request, name: str) -> date | None:
    """A day from the query; None if it is not given."""
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        if len(text) != 10:
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise BadRequest(f"'{name}' must be a day such as 2026-11-20") from None


def budget(model: str, standing: Standing, now: float) -> dict[str, Any]:
    """A budget as callers see it; money in its currency."""
    limits = standing.budget
    scale = MICRO if limits.unit == "money" else 1
    made: dict[str, Any] = {
        "name": limits.name,
        "unit": limits.currency if limits.unit == "money" else limits.unit,
        "limit": amount(limits.limit, scale),
        "per": limits.per,
        "used": amount(standing.taken, scale),
        "remaining": amount(standing.remaining, scale),
        "refills_at": standing.refills,
        "refills_in": max(0, round(standing.refills - now)),
        "on_exhausted": limits.on_exhausted,
    }
    if model:
        made["model"] = model
    elif limits.models:
        made["models"] = limits.models
    return made


def used(row: Usage) -> dict[str, Any]:
    """A row of the ledger as callers see it; money in its currency."""
    made: dict[str, Any] = {
        "day": row.day,
        "model": row.model,
        "requests": row.requests,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "cached_tokens": row.cached_tokens,
        "estimated": row.estimated,
    }
    if row.currency:
        made |= {"money": amount(row.money, MICRO), "currency": row.currency}
    return made


def amount(count: int, scale: int) -> int | float:
    """A count in its unit: millionths as a decimal number."""
    return count if scale == 1 else count / scale
