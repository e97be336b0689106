"""How an upstream of the Chat Completions dialect is reached."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec

from fairlead.errors import Misconfigured
from fairlead.providers.openai_errors import Redactor

_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, 5.6.2
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")
_HIDDEN = "…"

#: The fields that say how many tokens an answer may have, the older one first.
MOST_FIELDS = ("max_tokens", "max_completion_tokens")

#: What models of this dialect are given unless told otherwise.
TAKES = ("image/*", "text/*", "application/json")


class OpenAICompatibleConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One upstream. Raises Misconfigured, naming the setting, for what cannot work.

    name: for people, in messages and metadata. base_url: up to, not including,
    ``/chat/completions``; a query is kept. api_key: sent as ``Authorization: Bearer``; empty sends
    none. model: used where the request names none. headers: further ones; they win over ours, and
    their values are treated as secrets.

    connect_timeout: seconds for name, TCP and TLS. first_token_timeout: seconds from the request to
    the first event. silence_timeout: seconds without a single byte after that.

    max_retries: further tries after the first, all before the first event. retry_base, retry_cap:
    seconds, see :func:`~fairlead.providers.retry.backoff`. max_retry_wait: an upstream that asks
    for more seconds than that is not tried again.

    context_tokens: what the model's context holds, prompt and answer. takes: the media types of
    attachments that the model can be given; pictures go as such, all others must be text.
    max_event_bytes: of one event of a stream. max_answer_bytes: of an answer that is not streamed.
    max_error_bytes: read of an error's body.

    include_usage: ask for the usage in a stream; some servers refuse the option. most_field: the
    field that says how many tokens an answer may have, where a budget has no more; empty: it is not
    said; None: the one that the server at this address takes. trust_env: take proxies from the
    environment.
    """

    name: str
    base_url: str
    model: str
    api_key: str = ""
    headers: dict[str, str] = {}
    connect_timeout: float = 10.0
    first_token_timeout: float = 120.0
    silence_timeout: float = 60.0
    max_retries: int = 3
    retry_base: float = 0.5
    retry_cap: float = 8.0
    max_retry_wait: float = 30.0
    context_tokens: int = 32_768
    takes: tuple[str, ...] = TAKES
    max_event_bytes: int = 1 << 20
    max_answer_bytes: int = 8 << 20
    max_error_bytes: int = 64 << 10
    include_usage: bool = True
    most_field: str | None = None
    trust_env: bool = False

    def __post_init__(self) -> None:
        where = f"upstream {self.name!r}"
        for setting in ("name", "model"):
            if not getattr(self, setting):
                raise Misconfigured(f"{where}: {setting} must not be empty")
        _check_address(where, self.base_url)
        if self.api_key and (not _HEADER_VALUE.fullmatch(self.api_key) or " " in self.api_key):
            raise Misconfigured(
                f"{where}: api_key holds a blank, a line end or a character beyond ASCII"
            )
        for header, value in self.headers.items():
            if not _HEADER_NAME.fullmatch(header) or not _HEADER_VALUE.fullmatch(value):
                raise Misconfigured(f"{where}: headers: {header!r} or its value is malformed")
        for setting in ("connect_timeout", "first_token_timeout", "silence_timeout"):
            # Not `<= 0`: that would let NaN pass.
            if not getattr(self, setting) > 0:
                raise Misconfigured(f"{where}: {setting} must be more than 0 seconds")
        for setting in ("max_retries", "retry_base", "retry_cap", "max_retry_wait"):
            if not getattr(self, setting) >= 0:
                raise Misconfigured(f"{where}: {setting} must not be negative")
        for setting in ("context_tokens", "max_event_bytes", "max_answer_bytes", "max_error_bytes"):
            if getattr(self, setting) < 1:
                raise Misconfigured(f"{where}: {setting} must be at least 1")

    @property
    def address(self) -> str:
        """Where chat completions are asked for."""
        return self.beside("/chat/completions")

    @property
    def says_most(self) -> str:
        """The field that says how many tokens an answer may have; empty: none."""
        if self.most_field is not None:
            return self.most_field
        host = urlsplit(self.base_url).hostname or ""
        # Elsewhere the older name is known by everybody, and the newer one by some.
        newer = host == "api.openai.com" or host.endswith(".openai.azure.com")
        return MOST_FIELDS[1] if newer else MOST_FIELDS[0]

    def beside(self, path: str) -> str:
        """The address of a path under the base URL."""
        parts = urlsplit(self.base_url)
        return urlunsplit(parts._replace(path=parts.path.rstrip("/") + path))

    def redactor(self) -> Redactor:
        """Takes this upstream's secrets out of text."""
        # Shorter values ("1", "true") are no secrets, and would tear any text apart.
        values = [v for v in self.headers.values() if len(v) >= 6]
        # A header may wrap the secret in a scheme: "Bearer …".
        values += [v.rpartition(" ")[2] for v in values if len(v.rpartition(" ")[2]) >= 6]
        return Redactor([self.api_key, *values])

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        shown = []
        for field in self.__struct_fields__:
            value = getattr(self, field)
            if field == "api_key":
                value = _HIDDEN if value else ""
            elif field == "headers":
                value = dict.fromkeys(value, _HIDDEN)
            elif field == "base_url":
                # A query may hold a key.
                value = value.partition("?")[0] + ("?" + _HIDDEN if "?" in value else "")
            shown.append((field, value))
        return shown

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({fields})"


def _check_address(where: str, base_url: str) -> None:
    try:
        parts = urlsplit(base_url)
        port = parts.port
    except ValueError:
        parts, port = None, None
    if (
        parts is None
        or port == 0
        or parts.scheme not in ("http", "https")
        or not parts.hostname
        or any(c <= " " for c in base_url)
    ):
        raise Misconfigured(
            f"{where}: base_url must be an address like https://host/v1, without blanks"
        )
    if parts.username is not None or parts.password is not None:
        raise Misconfigured(f"{where}: base_url must not hold a user or password; use api_key")
    if parts.fragment:
        raise Misconfigured(f"{where}: base_url must not hold a fragment (#…)")
    if parts.path.rstrip("/").endswith("/chat/completions"):
        raise Misconfigured(f"{where}: base_url must end before /chat/completions")
