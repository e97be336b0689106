"""What is sent to OpenAI's APIs: JSON whose faults are stated with the vendor's ``param``."""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import TypeVar

import msgspec

from fairlead.errors import BadRequest
from fairlead.events.attachment import Attachment

T = TypeVar("T")

#: The fields of an object, each as it came.
FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def decoded(data: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """The value of a body. Raises :class:`~fairlead.errors.BadRequest`, whose ``param`` names the
    field."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        said, _, path = str(error).partition(" - at `$")
        field = path.rstrip("`").lstrip(".")
        raise BadRequest(f"{field or 'the body'}: {said}", param=field or None) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"the body is not valid JSON: {error}") from None
    except RecursionError:
        raise BadRequest("the body is nested too deeply") from None


def of_address(address: str, name: str) -> Attachment | None:
    """What an address holds that is one of the scheme ``data``, in base64; None for any other.

    Source: RFC 2397: ``data:[<media type>][;base64],<data>``.
    """
    head, comma, data = address.partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        return None
    try:
        decoded = b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return None
    return Attachment(head[5:].removesuffix(";base64"), decoded, name)
