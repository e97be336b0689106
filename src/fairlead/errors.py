"""The one tree of errors.

Each error says *whose fault* it is, whether trying again can help, and carries a stable ``code``
that clients may rely on. The message names what was wrong and what would be right; it never holds
a secret. How a code looks on a wire (HTTP status, vendor shape) is the business of the dialects.

    FairleadError
    ├── CallerError          the request was wrong: mend it before trying again
    │   ├── BadRequest       ├── BadPosition     ├── Unauthenticated   ├── Forbidden
    │   │   └── UnknownModel                     │   └── Revoked
    │   ├── NotFound         ├── Conflict        ├── HistoryGone       ├── TooLarge
    │   ├── UnsupportedAttachment  ├── TooMany   ├── BudgetExhausted   └── Moderated
    ├── ServerError          ours: the request may be fine
    │   ├── Busy             ├── Draining        ├── Interrupted       ├── DeadlineExceeded
    │   ├── StoreUnavailable ├── StoreCorrupt    ├── IdentityUnavailable
    │   ├── PluginFailed     └── Misconfigured
    └── UpstreamError        the model's server
        ├── UpstreamUnavailable  ├── UpstreamTimeout   ├── UpstreamRateLimited
        ├── UpstreamRefusedKey   ├── UpstreamRejected  ├── UpstreamProtocol  └── UpstreamCut
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar


class Fault(StrEnum):
    """Whose fault an error is."""

    CALLER = "caller"
    SERVER = "server"
    UPSTREAM = "upstream"


class FairleadError(Exception):
    """Root of the tree.

    ``retry_after`` (seconds) says when another try may succeed, where that is known; ``details``
    are small JSON-able facts for programs (never secrets).
    """

    code: ClassVar[str] = "internal"
    fault: ClassVar[Fault] = Fault.SERVER
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, retry_after: float | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after
        self.details = details


# -- the caller's ----------------------------------------------------------------------------------


class CallerError(FairleadError):
    """The request was wrong; the same request will fail again."""

    code = "bad_request"
    fault = Fault.CALLER


class BadRequest(CallerError):
    """A field, parameter or header is missing or malformed; the message names it."""

    code = "bad_request"


class UnknownModel(BadRequest):
    """Nobody here answers to the name of the model that was asked for."""


class BadPosition(CallerError):
    """A position is not of the form the server issues."""

    code = "bad_position"


class Unauthenticated(CallerError):
    """No credential, or one that is unknown or expired."""

    code = "unauthenticated"


class Revoked(Unauthenticated):
    """The credential was good and has been taken back, or its session has been ended: another one
    is needed."""

    code = "revoked"


class Forbidden(CallerError):
    """The request comes from a place that may not make it (for instance a foreign web page)."""

    code = "forbidden"


class NotFound(CallerError):
    """No such thing, or none that this caller may see: the two look alike."""

    code = "not_found"


class Conflict(CallerError):
    """The request contradicts what exists (such as an idempotency key used with other content)."""

    code = "conflict"


class HistoryGone(CallerError):
    """The records after the position were removed by retention."""

    code = "gone"


class TooLarge(CallerError):
    """Something from outside exceeds its limit; the message names the limit."""

    code = "too_large"


class UnsupportedAttachment(CallerError):
    """An attachment of a type that this server, or the model that is asked, does not take."""

    code = "unsupported_attachment"


class BudgetExhausted(CallerError):
    """A budget of this caller's is used up; ``budget`` in the details names it, ``retry_after`` is
    when it refills."""

    code = "budget_exhausted"
    retryable = True


class TooMany(CallerError):
    """As many of this caller's questions run and wait as may; one that ends makes room."""

    code = "too_many"
    retryable = True


class Moderated(CallerError):
    """What was asked, or what was being answered, may not be; the message says why."""

    code = "moderated"


# -- ours ------------------------------------------------------------------------------------------


class ServerError(FairleadError):
    """Something on our side."""

    code = "internal"


class Busy(ServerError):
    """A cap is reached; streams that exist are not touched."""

    code = "busy"
    retryable = True


class Draining(ServerError):
    """The server is shutting down and starts nothing new."""

    code = "draining"
    retryable = True


class Interrupted(ServerError):
    """The generation lost its process; what was written is kept."""

    code = "interrupted"
    retryable = True


class DeadlineExceeded(ServerError):
    """The generation ran longer than it may."""

    code = "deadline_exceeded"
    retryable = True


class StoreUnavailable(ServerError):
    """The store cannot write or read now (full disk, lock held too long, closed)."""

    code = "store_unavailable"
    retryable = True


class StoreCorrupt(ServerError):
    """The store's file is damaged or not ours; an operator must look."""

    code = "store_corrupt"


class IdentityUnavailable(ServerError):
    """Who asks cannot be found out now: the service that issued the credential does not answer."""

    code = "identity_unavailable"
    retryable = True


class PluginFailed(ServerError):
    """A plugin of the operator's failed, or took too long; ``plugin`` in the details names it."""

    code = "plugin_failed"


class Misconfigured(ServerError):
    """The configuration is wrong; the message names the setting and what would be right."""

    code = "misconfigured"


# -- the upstream's --------------------------------------------------------------------------------


class UpstreamError(FairleadError):
    """The model's server failed or refused."""

    code = "upstream_error"
    fault = Fault.UPSTREAM


class UpstreamUnavailable(UpstreamError):
    """No connection, or a 5xx answer."""

    code = "upstream_unavailable"
    retryable = True


class UpstreamTimeout(UpstreamError):
    """No connection, first token or next token within the time allowed; the message says which."""

    code = "upstream_timeout"
    retryable = True


class UpstreamRateLimited(UpstreamError):
    """The upstream answered 429; ``retry_after`` is the upstream's own where it gave one."""

    code = "upstream_rate_limited"
    retryable = True


class UpstreamRefusedKey(UpstreamError):
    """The upstream refused the server's credential (401 or 403): the operator's to mend."""

    code = "upstream_refused_key"


class UpstreamRejected(UpstreamError):
    """The upstream found the request itself wrong (4xx): context too long, unknown model, …"""

    code = "upstream_rejected"


class UpstreamProtocol(UpstreamError):
    """The upstream sent what its protocol does not allow."""

    code = "upstream_protocol"
    retryable = True


class UpstreamCut(UpstreamError):
    """The upstream's connection ended in the middle of an answer."""

    code = "upstream_cut"
    retryable = True
