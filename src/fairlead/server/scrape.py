"""``/metrics``: for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from fairlead.errors import NotFound, Unauthenticated
from fairlead.policy.addresses import Networks, address
from fairlead.server import http

router = APIRouter(tags=["admin"])


@router.get(
    "/metrics",
    summary="Metrics, as Prometheus reads them",
    responses={200: {"content": {"text/plain": {}, "application/openmetrics-text": {}}}},
)
async def metrics(request: Request) -> Response:
    """For the scope ``admin``, and for the networks in ``metrics_addresses`` without a credential;
    to others there is nothing here."""
    system = http.system(request)
    if not _from_near(request):
        try:
            system.engine.overview.allow(await http.caller(request))
        except (Unauthenticated, NotFound):
            raise NotFound("there is nothing at /metrics") from None
    text, content_type = system.metrics.text(request.headers.get("accept", ""))
    return Response(text, headers={"content-type": content_type, "cache-control": "no-store"})


def _from_near(request: Request) -> bool:
    allowed = http.system(request).config.metrics_addresses
    if not allowed or request.client is None:
        return False
    return address(request.client.host) in Networks(allowed)
