"""What an upstream is sent: the body of ``POST /chat/completions``. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from fairlead.dialects import openai_chat
from fairlead.errors import BadRequest
from fairlead.ports.knowledge import Passage
from fairlead.ports.provider import GenerationRequest
from fairlead.providers import prompt
from fairlead.providers.openai_config import MOST_FIELDS

#: The dialects whose requests are sent on as they are.
SPEAKS = (openai_chat.NAME,)

_Fields = dict[str, msgspec.Raw]
_fields = msgspec.json.Decoder(_Fields)
_list = msgspec.json.Decoder(list[msgspec.Raw])
_encode = msgspec.json.Encoder().encode


class Question:
    """A request in the upstream's words. ``model`` is the upstream's default one. ``says_most``:
    the field that says how many tokens the answer may have, where the request has none.

    What came in this dialect keeps its own words; of their fields only those are replaced that we
    depend on. Raises :class:`~fairlead.errors.BadRequest` if they cannot be read.
    """

    def __init__(
        self,
        request: GenerationRequest,
        *,
        model: str,
        include_usage: bool,
        says_most: str = MOST_FIELDS[0],
    ) -> None:
        self.model = request.model or model
        self.once = request.once
        self.headers = request.headers
        self._request = request
        ours: dict[str, Any] = {"model": self.model, "stream": True}
        if request.vendor is not None and request.vendor.dialect in SPEAKS:
            try:
                fields: dict[str, Any] = {**_fields.decode(request.vendor.body)}
                given = msgspec.json.decode(fields.get("stream_options", b"null"))
                if request.passages:
                    ours["messages"] = _with_passages(
                        _list.decode(fields.get("messages", b"[]")), request.passages
                    )
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise BadRequest(f"the request cannot be sent on: {error}") from None
        else:
            fields = dict(request.parameters)
            given = fields.get("stream_options")
            ours["messages"] = prompt.messages(request.turns, request.passages)
        options = dict(given) if isinstance(given, dict) else {}
        if include_usage:
            options["include_usage"] = True
        fields |= ours
        if request.most:
            # Fewer than it asks for itself.
            given = [name for name in MOST_FIELDS if name in request.parameters]
            fields |= dict.fromkeys(given or [says_most], request.most)
        fields["stream_options"] = options
        if not options:
            del fields["stream_options"]
        self.body = _encode(fields)

    def estimate_tokens(self) -> int:
        """About how many tokens the messages are."""
        return prompt.estimate_tokens(prompt.messages(self._request.turns, self._request.passages))


def _with_passages(
    messages: Sequence[msgspec.Raw], passages: Sequence[Passage]
) -> list[msgspec.Raw]:
    """The messages with the passages in the system message that opens them, or in one put there:
    the chat templates of several open models accept one only, at the very beginning."""
    said = prompt.quoted(passages)
    if messages:
        opening = _fields.decode(messages[0])
        role = msgspec.json.decode(opening.get("role", b"null"))
        text = msgspec.json.decode(opening.get("content", b"null"))
        if role in ("system", "developer") and isinstance(text, str):
            opening["content"] = msgspec.Raw(_encode(f"{text}\n\n{said}"))
            return [msgspec.Raw(_encode(opening)), *messages[1:]]
    return [msgspec.Raw(_encode({"role": "system", "content": said})), *messages]
