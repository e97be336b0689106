"""Logging in with a browser at an OpenID provider: the authorisation code flow with PKCE (OpenID
Connect Core 1.0, section 3.1; RFC 7636).

Nothing is kept of a login under way but in the browser that began it: a signed cookie holds the
``state``, and ``nonce`` and the PKCE verifier follow from that and the deployment's secret.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import msgspec

from fairlead.errors import BadRequest, Unauthenticated
from fairlead.identity.claims import ClaimRules, find
from fairlead.identity.issuer import Client, Discovery, Refusal
from fairlead.identity.jwt import JwtIdentity
from fairlead.identity.sessions import SessionIdentity
from fairlead.primitives import base32

#: Seconds that somebody has to log in at the provider.
PATIENCE = 600
#: The longest path that a login leads back to.
_MAX_BACK = 1000


class LoginRules(msgspec.Struct, frozen=True, kw_only=True):
    """``issuer``, ``client_id`` and ``client_secret`` (empty: a public client) as the provider
    knows them; ``url``: this server as browsers see it; ``seconds``: how long a session lasts."""

    issuer: str
    client_id: str
    client_secret: str
    url: str
    request_scopes: tuple[str, ...]
    seconds: float
    claims: ClaimRules

    @property
    def home(self) -> str:
        """The path of the page."""
        return urlsplit(self.url).path + "/"

    @property
    def callback(self) -> str:
        """Where the provider sends the browser back to."""
        return f"{self.url}/login/callback"


class Begun(NamedTuple):
    """A login that has begun: where the browser goes, and the cookie that it takes along."""

    location: str
    cookie: str


class LoggedIn(NamedTuple):
    """A login that has succeeded: the session's cookie, and the path that the browser goes to."""

    cookie: str
    back: str


class Login:
    """The login at one provider. ``tokens`` verifies its ID tokens; ``secret`` is the
    deployment's."""

    def __init__(
        self,
        rules: LoginRules,
        *,
        client: Client,
        discovery: Discovery,
        tokens: JwtIdentity,
        sessions: SessionIdentity,
        secret: bytes,
        entropy: Callable[[int], bytes],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.rules = rules
        self._client = client
        self._discovery = discovery
        self._tokens = tokens
        self._sessions = sessions
        self._secret = secret
        self._entropy = entropy
        self._clock = clock

    @property
    def rule(self) -> str:
        """Names the rules that logins are judged by."""
        return self._tokens.rule

    async def begin(self, back: str = "") -> Begun:
        """Send a browser to the provider; afterwards it goes to the path ``back`` (empty, or
        leading elsewhere: to the page)."""
        rules = self.rules
        state = base32(self._entropy(20))
        verifier = self._derived("verifier", state)
        challenge = _base64(hashlib.sha256(verifier.encode()).digest())
        query = {
            "response_type": "code",
            "client_id": rules.client_id,
            "redirect_uri": rules.callback,
            "scope": " ".join(rules.request_scopes),
            "state": state,
            "nonce": self._derived("nonce", state),
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        at = await self._discovery.get("authorization_endpoint")
        location = at + ("&" if urlsplit(at).query else "?") + urlencode(query)
        until = int(self._clock()) + PATIENCE
        path = back if is_path(back) else rules.home
        return Begun(location, self._signed(f"{state}.{until}.{_base64(path.encode())}"))

    async def finish(self, cookie: str, query: Mapping[str, str]) -> LoggedIn:
        """The browser is back, with what the provider says in ``query``.

        Raises :class:`~fairlead.errors.BadRequest` for a login that this browser did not begin, and
        :class:`~fairlead.errors.Unauthenticated` for one that the provider did not let through.
        """
        state, back = self._opened(cookie)
        if not hmac.compare_digest(state.encode(), query.get("state", "").encode()):
            raise BadRequest("this login was begun in another window: log in again")
        # RFC 9207: the answer of another provider must not be taken for this one's.
        if query.get("iss", self.rules.issuer) != self.rules.issuer:
            raise BadRequest("this answer is of another provider than the one that was asked")
        if "error" in query:
            reason = query["error"] if query["error"].isidentifier() else "an error"
            raise Unauthenticated(f"the provider did not let this login through ({reason[:60]})")
        granted = await self._redeem(query.get("code", ""), state)
        claims = await self._identified(granted, state)
        caller = self.rules.claims.caller(claims, credential="", expires_at=None)
        return LoggedIn(await self._sessions.begin(caller, self.rules.seconds), back)

    async def logout_url(self) -> str:
        """Where the browser logs out of the provider as well (OpenID Connect RP-Initiated Logout
        1.0); empty: the provider knows no such place."""
        at = await self._discovery.get("end_session_endpoint", needed=False)
        if not at:
            return ""
        query = {
            "client_id": self.rules.client_id,
            "post_logout_redirect_uri": f"{self.rules.url}/",
        }
        return at + ("&" if urlsplit(at).query else "?") + urlencode(query)

    async def _redeem(self, code: str, state: str) -> Mapping[str, Any]:
        """What the provider gives for a code."""
        if not code or len(code) > 4096:
            raise BadRequest("the provider's answer lacks its code")
        rules = self.rules
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": rules.callback,
            "code_verifier": self._derived("verifier", state),
        }
        at = await self._discovery.get("token_endpoint")
        try:
            granted = await self._client.post(at, form, rules.client_id, rules.client_secret)
        except Refusal as refusal:
            if refusal.reason == "invalid_grant":
                raise Unauthenticated("this login was finished already: log in again") from None
            raise
        return granted if isinstance(granted, dict) else {}

    async def _identified(self, granted: Mapping[str, Any], state: str) -> Mapping[str, Any]:
        """What the ID token says, and the provider besides where that is needed."""
        text = granted.get("id_token")
        claims = await self._tokens.verified(text if isinstance(text, str) else "")
        self._tokens.rules.check(claims, self._clock())
        nonce = claims.get("nonce")
        if not isinstance(nonce, str) or not hmac.compare_digest(
            nonce.encode(), self._derived("nonce", state).encode()
        ):
            raise Unauthenticated("the ID token was made for another login")
        # Section 3.1.3.7: among several audiences the token names the one it was made for.
        if claims.get("azp", self.rules.client_id) != self.rules.client_id:
            raise Unauthenticated("the ID token was made for another client")
        wanted = (self.rules.claims.consumer[0], self.rules.claims.scope)
        access = granted.get("access_token")
        if all(find(claims, path) is not None for path in wanted) or not isinstance(access, str):
            return claims
        return {**await self._more(access, claims), **claims}

    async def _more(self, access: str, claims: Mapping[str, Any]) -> Mapping[str, Any]:
        at = await self._discovery.get("userinfo_endpoint", needed=False)
        if not at:
            return {}
        more = await self._client.get(at, access)
        # Section 5.3.2: it may be about somebody else.
        if not isinstance(more, dict) or more.get("sub") != claims.get("sub"):
            return {}
        return more

    # -- the cookie of a login under way

    def _derived(self, what: str, state: str) -> str:
        message = f"login {what}\0{state}".encode()
        return _base64(hmac.digest(self._secret, message, "sha256"))

    def _signed(self, text: str) -> str:
        return f"{text}.{self._derived('cookie', text)}"

    def _opened(self, cookie: str) -> tuple[str, str]:
        """The state and the path that the cookie holds."""
        text, _, mac = cookie[:4096].rpartition(".")
        expected = self._derived("cookie", text)
        if not hmac.compare_digest(expected.encode(), mac.encode("utf-8", "surrogateescape")):
            raise BadRequest("this browser has begun no login here, or not lately: log in again")
        state, until, path = text.split(".")
        if self._clock() >= int(until):
            raise BadRequest(f"a login has to be finished within {PATIENCE} s: log in again")
        return state, urlsafe_b64decode(path + "=" * (-len(path) % 4)).decode()


def is_path(text: str) -> bool:
    """Whether it is a path on this server: ``//host`` and ``/\\host`` lead browsers elsewhere."""
    return (
        text.startswith("/")
        and not text.startswith(("//", "/\\"))
        and len(text) <= _MAX_BACK
        and text.isascii()
        and text.isprintable()
        and "\\" not in text
    )


def _base64(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")
