"""``/login``, ``/logout``, ``/me``, ``/tickets``: who one is, and how a browser shows it."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from fairlead.errors import BadRequest, NotFound, Unauthenticated
from fairlead.identity.oidc import PATIENCE, Login
from fairlead.identity.tickets import LIFE
from fairlead.server import http
from fairlead.transports.callers import credential

router = APIRouter(tags=["identity"])


@router.get("/login", status_code=307, summary="Log in with a browser")
async def login(request: Request) -> Response:
    """Sends the browser to the provider. ``back`` is the path to go to afterwards."""
    found = _login(request)
    begun = await found.begin(request.query_params.get("back", ""))
    response = RedirectResponse(begun.location, headers={"cache-control": "no-store"})
    _set(response, found, _under_way(request), begun.cookie, PATIENCE)
    return response


@router.get("/login/callback", status_code=303, summary="Where the provider sends the browser back")
async def callback(request: Request) -> Response:
    """Makes the session, whose cookie no script can read."""
    found = _login(request)
    cookie = request.cookies.get(_under_way(request), "")
    done = await found.finish(cookie, request.query_params)
    response = RedirectResponse(done.back, 303, {"cache-control": "no-store"})
    _set(response, found, _under_way(request), "", 0)
    doors = http.system(request).doors
    _set(response, found, doors.cookie, done.cookie, int(found.rules.seconds))
    return response


@router.post("/logout", summary="End the session")
async def logout(request: Request) -> Response:
    """``location`` is where the browser logs out of the provider as well, if it can. A browser that
    asks for HTML is sent there."""
    http.same_site(request)
    doors = http.system(request).doors
    await doors.sessions.end(await http.caller(request))
    location = await doors.login.logout_url() if doors.login is not None else ""
    if doors.login is not None and "text/html" in request.headers.get("accept", ""):
        response: Response = RedirectResponse(location or doors.login.rules.home, 303)
    else:
        response = http.json_response({"location": location or None})
    if doors.login is not None:
        _set(response, doors.login, doors.cookie, "", 0)
    return response


@router.get("/me", summary="Who am I?")
async def me(request: Request) -> Response:
    """The consumer and what it may; ``consumer`` is null without a credential where one is needed.
    ``login`` is where one can log in with a browser, null if nowhere."""
    system = http.system(request)
    path = f"{request.scope.get('root_path', '')}/login" if system.doors.login is not None else None
    try:
        caller = await http.caller(request)
    except Unauthenticated:
        if credential(request.scope) or request.cookies.get(system.doors.cookie):
            raise
        return http.json_response({"consumer": None, "login": path})
    return http.json_response(
        {
            "consumer": caller.consumer,
            "scopes": sorted(caller.scopes),
            "expires_at": caller.expires_at,
            "by": caller.credential.partition(":")[0] or None,
            "login": path,
        }
    )


@router.post("/tickets", summary="Get a one-use ticket for EventSource or a WebSocket")
async def ticket(request: Request) -> Response:
    """It stands in the URL, as ``ticket``, in place of a credential: once, and within
    ``expires_in`` seconds. What it opens ends as the credential does that it was got with."""
    caller = await http.caller(request)
    text = await http.system(request).doors.tickets.issue(caller)
    return http.json_response({"ticket": text, "expires_in": LIFE})


@router.post(
    "/credential",
    summary="Let open connections go on under a fresh credential",
    openapi_extra={
        "parameters": [{"name": "reader", "in": "query", "schema": {"type": "string"}}],
    },
)
async def renew(request: Request) -> Response:
    """The request carries the fresh credential, of the same consumer, which must not allow less;
    ``reader`` (or the header ``Fairlead-Reader``) is the name that the connections were opened
    with. All of that name on this node go on: WebSockets of any kind, and readers of streams."""
    http.same_site(request)
    caller = await http.caller(request)
    name = caller.facts.reader
    if not name:
        raise BadRequest("'reader' is missing: the name that the connections were opened with")
    renewed = http.system(request).engine.vigil.renew(caller, name)
    if not renewed:
        raise NotFound("nothing of this name is open here: open it again")
    return http.json_response(
        {"consumer": caller.consumer, "expires_at": caller.expires_at, "renewed": renewed}
    )


def _login(request: Request) -> Login:
    found = http.system(request).doors.login
    if found is None:
        raise NotFound("nobody logs in here: this server has no [oidc]")
    return found


def _under_way(request: Request) -> str:
    return http.system(request).doors.cookie + "-login"


def _set(response: Response, login: Login, name: str, value: str, seconds: int) -> None:
    """Set a cookie; 0 ``seconds``: remove it."""
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path="/",
        secure=login.rules.url.startswith("https://"),
        httponly=True,
        # Lax: it comes along when the provider sends the browser back, but with no request that
        # another site's page makes.
        samesite="lax",
    )
