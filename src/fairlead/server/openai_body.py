"""Bodies of OpenAI's API: JSON whose faults are stated with the vendor's ``param``."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from fairlead.errors import BadRequest

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
