"""``[[upstreams]]``: the models' servers."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Self
from urllib.parse import urlsplit

import msgspec

from fairlead.events.attachment import is_image, is_text
from fairlead.policy.attachments import MEDIA_TYPE
from fairlead.providers.openai_config import MOST_FIELDS, TAKES
from fairlead.server.settings import Secret
from fairlead.server.tables.table import Table, says

#: A media type, or all of a kind.
_TAKEN = re.compile(rf"{MEDIA_TYPE.pattern}|[a-z0-9+.-]+/\*")
_LONGEST = 7 * 86_400
_PATH = re.compile(r"/[A-Za-z0-9._~/%-]*")


class Upstream(Table, frozen=True, kw_only=True):
    """A server that speaks ``POST {base_url}/chat/completions`` or, by its ``api``, ``/responses``.

    ``models``: the names that callers may ask for, the first one being the default.
    ``api_key_env`` names the environment variable that holds the key; ``api_key`` is what was found
    there. Timeouts in seconds; values of ``headers`` are treated as secrets. An upstream that asks
    for a longer pause than ``max_retry_wait`` seconds is not tried again; ``include_usage`` asks
    for the number of tokens in a stream; ``trust_env`` takes proxies from the environment.
    """

    WORDS: ClassVar[dict[str, str]] = {
        "api_key": "a key does not belong in a file; name an environment variable in api_key_env"
    }

    name: Annotated[str, says("for people, in messages")]
    base_url: Annotated[str, says("up to, not including, `/chat/completions` or `/responses`")]
    models: Annotated[
        tuple[str, ...], says("the names that callers may ask for, the first being the default")
    ]
    api: Annotated[
        str,
        says("what it is asked over: `chat` (`/chat/completions`) or `responses` (`/responses`)"),
    ] = "chat"
    background: Annotated[
        bool,
        says(
            "with `responses`: have it write in the background, so that neither a broken connection"
            " nor a restart of this server costs anything of the answer"
        ),
    ] = False
    api_key_env: Annotated[
        str, says("the environment variable that holds the key; none: no key is sent")
    ] = ""
    api_key: Secret = Secret()
    realtime: Annotated[
        bool,
        says("it holds Realtime sessions with its models itself, at `{base_url}/realtime`: audio"),
    ] = False
    files: Annotated[
        bool,
        says(
            "it keeps files, at `{base_url}/files`: `/v1/files` is passed to it; one upstream may"
        ),
    ] = False
    connect_timeout: Annotated[float, says("seconds for name, TCP and TLS")] = 10.0
    first_token_timeout: Annotated[
        float, says("seconds from the request to the first piece of the answer")
    ] = 120.0
    silence_timeout: Annotated[
        float, says("seconds without a single byte in the middle of an answer")
    ] = 60.0
    max_retries: Annotated[int, says("further tries, all before the first piece of the answer")] = 3
    max_retry_wait: Annotated[
        float, says("an upstream that asks for more seconds of pause is not tried again")
    ] = 30.0
    weight: Annotated[
        float, says("its share where several upstreams offer a model: 2 is twice as much as 1")
    ] = 1.0
    max_concurrent: Annotated[int, says("answers that it writes at once; 0: no limit")] = 0
    max_per_second: Annotated[float, says("questions that it is sent a second; 0: no limit")] = 0.0
    max_wait: Annotated[
        float, says("seconds that a question waits until those two, or a 429, let it pass")
    ] = 30.0
    breaker_failures: Annotated[
        int, says("failures in a row after which it is left alone for a while; 0: never")
    ] = 5
    breaker_share: Annotated[
        float, says("it is left alone, too, when this share of its answers failed, of 20 or more")
    ] = 0.5
    breaker_window: Annotated[float, says("seconds that those are counted in")] = 60.0
    breaker_rest: Annotated[
        float, says("seconds that it is left alone before one question tries it again")
    ] = 15.0
    health_interval: Annotated[
        float, says("seconds between checks of its health; 0: it is not checked")
    ] = 0.0
    health_path: Annotated[str, says("what is asked for, under `base_url`, to check it")] = (
        "/models"
    )
    health_timeout: Annotated[float, says("seconds that a check may take")] = 5.0
    context_tokens: Annotated[int, says("what the model's context holds")] = 32_768
    attachments: Annotated[
        tuple[str, ...],
        says("media types of attachments that the models take; `[]` for models of text alone"),
    ] = TAKES
    include_usage: Annotated[
        bool, says("ask for the number of tokens in a stream; false for a server that refuses")
    ] = True
    max_tokens: Annotated[
        str,
        says(
            "the field in which it is told how long an answer may be where a budget has no more:"
            " `max_tokens` or `max_completion_tokens` (with `responses` it is always"
            " `max_output_tokens`); `none`: it is not told; empty: `max_completion_tokens` for"
            " OpenAI's own servers, else `max_tokens`"
        ),
    ] = ""
    trust_env: Annotated[
        bool, says("take proxies from `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`")
    ] = False
    headers: Annotated[
        dict[str, str], says("further request headers; their values are treated as secrets")
    ] = msgspec.field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Upstream({self.name!r}, {address(self.base_url)!r}, models={self.models!r})"

    def summary(self) -> str:
        named = self.api_key_env
        key = f", key from {named}{'' if self.api_key else ' (not set)'}" if named else ""
        return f"{self.name} ({address(self.base_url)}: {', '.join(self.models)}{key})"

    @classmethod
    def check(cls, tables: tuple[Self, ...]) -> str:
        names: set[str] = set()
        if len(keep := [upstream.name for upstream in tables if upstream.files]) > 1:
            return f"{keep[1]}: files: {keep[0]!r} keeps files already, and only one may"
        for upstream in tables:
            where = f"{upstream.name}: "
            if not upstream.name or not upstream.name.isprintable():
                return "every upstream needs a name"
            if upstream.name in names:
                return where + "this name is used twice"
            names.add(upstream.name)
            if wrong := check_url(upstream.base_url):
                return f"{where}base_url: {wrong}"
            if upstream.api not in ("chat", "responses"):
                return where + 'api must be "chat" or "responses"'
            if upstream.background and upstream.api != "responses":
                return where + 'background needs api = "responses"'
            if upstream.max_tokens not in ("", "none", *MOST_FIELDS):
                return where + f'max_tokens must be {", ".join(MOST_FIELDS)} or "none"'
            if not upstream.models or not all(upstream.models):
                return where + 'models must name at least one model, such as ["llama3.2"]'
            if len(set(upstream.models)) < len(upstream.models):
                return where + "models must name each model once"
            for name in ("connect_timeout", "first_token_timeout", "silence_timeout"):
                if not 0 < getattr(upstream, name) <= _LONGEST:
                    return f"{where}{name} must be a number of seconds, more than 0"
            if not 0 <= upstream.max_retry_wait <= 3600:
                return where + "max_retry_wait must be from 0 to 3600 seconds"
            if not 0 <= upstream.max_retries <= 100:
                return where + "max_retries must be from 0 to 100"
            if wrong := upstream._check_balance():
                return where + wrong
            for taken in upstream.attachments:
                if not _TAKEN.fullmatch(taken) or not (is_image(taken) or is_text(taken)):
                    return (
                        f"{where}attachments: {taken[:80]!r} is no type of pictures or texts; it "
                        "must be one such as image/png, image/* or text/plain"
                    )
            if upstream.context_tokens < 1:
                return where + "context_tokens must be at least 1"
        return ""

    def _check_balance(self) -> str:
        for name in ("weight", "breaker_window", "breaker_rest", "health_timeout"):
            if not 0 < getattr(self, name) <= _LONGEST:
                return f"{name} must be more than 0"
        for name in ("max_per_second", "max_wait", "health_interval"):
            if not 0 <= getattr(self, name) <= _LONGEST:
                return f"{name} must be 0 or more"
        if 0 < self.max_per_second < 0.001:
            return "max_per_second must be 0, or at least 0.001"
        if 0 < self.health_interval < 0.1:
            return "health_interval must be 0, or at least 0.1 seconds"
        if self.max_concurrent < 0 or self.breaker_failures < 0:
            return "max_concurrent and breaker_failures must be 0 or more"
        if not 0 < self.breaker_share <= 1:
            return "breaker_share must be more than 0, and 1 at most"
        if not _PATH.fullmatch(self.health_path):
            return "health_path must be a path such as /models"
        return ""


def address(url: str) -> str:
    """A URL without its query, which may hold a key."""
    return url.partition("?")[0] + ("?…" if "?" in url else "")


def check_url(url: str) -> str:
    """What is wrong with an upstream's base URL; empty: nothing."""
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        fine = False
    if not fine or not url.isprintable() or " " in url:
        return "it must be an address such as https://api.example/v1"
    if "@" in parts.netloc:
        return "it must hold no user or password; the key has a variable of its own"
    for path in ("/chat/completions", "/responses"):
        if parts.path.rstrip("/").endswith(path):
            return f"it must end before {path}"
    return ""
