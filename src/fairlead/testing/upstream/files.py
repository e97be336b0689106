"""The files that the scripted upstream keeps. Pure."""

from __future__ import annotations

from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any, NamedTuple

import msgspec

from fairlead.testing.upstream.chat import CREATED, error_object
from fairlead.testing.upstream.http import whole
from fairlead.testing.upstream.requests import ReceivedRequest


class StoredFile(NamedTuple):
    """A file, and what is said of it."""

    told: dict[str, Any]
    data: bytes


def answer(files: dict[str, StoredFile], request: ReceivedRequest, path: list[str]) -> bytes:
    """What a request below ``/v1/files`` gets; ``path`` is what follows."""
    match request.method, path:
        case "POST", []:
            made = _read(request, f"file-{request.number}")
            if made is None:
                error = error_object(400, "'file' and 'purpose' are required.")
                return whole(400, "application/json", msgspec.json.encode(error), {})
            files[made.told["id"]] = made
            return _json(made.told)
        case "GET", []:
            return _json({"object": "list", "data": [file.told for file in files.values()]})
        case "GET", [id] if id in files:
            return _json(files[id].told)
        case "GET", [id, "content"] if id in files:
            return whole(200, "application/octet-stream", files[id].data, {})
        case "DELETE", [id] if id in files:
            del files[id]
            return _json({"id": id, "object": "file", "deleted": True})
        case _:
            error = error_object(404, f"No such File object: {'/'.join(path)}")
            return whole(404, "application/json", msgspec.json.encode(error), {})


def _json(value: Any) -> bytes:
    return whole(200, "application/json", msgspec.json.encode(value), {})


def _read(request: ReceivedRequest, id: str) -> StoredFile | None:
    """The file in a form (RFC 7578); None: there is none, or nobody says what for."""
    kind = request.headers.get("content-type", "").encode("latin-1")
    form = BytesParser(EmailMessage, policy=HTTP).parsebytes(
        b"Content-Type: %b\r\n\r\n%b" % (kind, request.body)
    )
    fields: dict[str, EmailMessage] = {}
    for part in form.iter_parts():
        name = part.get_param("name", "", "content-disposition")
        if isinstance(name, str) and isinstance(part, EmailMessage):
            fields[name] = part
    if "file" not in fields or "purpose" not in fields:
        return None
    data, purpose = (fields[name].get_payload(decode=True) for name in ("file", "purpose"))
    if not isinstance(data, bytes) or not isinstance(purpose, bytes):
        return None
    told = {
        "id": id,
        "object": "file",
        "bytes": len(data),
        "created_at": CREATED,
        "filename": fields["file"].get_filename("upload"),
        "purpose": purpose.decode(errors="replace"),
        "status": "processed",
    }
    return StoredFile(told, data)
