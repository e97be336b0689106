"""What an upstream answers to a request that was passed to it. Pure."""

from __future__ import annotations

import msgspec

from fairlead.errors import UpstreamProtocol
from fairlead.ports.passing import Passed
from fairlead.providers.openai_errors import BAD_JSON, Redactor


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None


class _Passed(msgspec.Struct):
    usage: _Usage | None = None


_decoder = msgspec.json.Decoder(_Passed)
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


def read(data: bytes, redact: Redactor) -> Passed:
    """Its answer. Raises :class:`~fairlead.errors.UpstreamProtocol` for what is no JSON object."""
    try:
        _object.decode(data)
        data.decode()
    except BAD_JSON as error:
        raise UpstreamProtocol(
            f"the upstream answered with what is no JSON object ({redact.excerpt(str(error), 100)})"
        ) from None
    try:
        usage = _decoder.decode(data).usage
    except BAD_JSON:
        usage = None
    return Passed(data, None if usage is None else usage.prompt_tokens)
